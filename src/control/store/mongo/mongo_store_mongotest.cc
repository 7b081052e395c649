// The contract suite, on a replica set and on a standalone server.
#include "control/store/mongo/mongo_store.h"

#include "control/store/contract/contract.h"
#include "control/store/mongo/servers_mongotest.h"

namespace tidegate::store {
namespace {

struct Opened {
  explicit Opened(const std::string& uri) : database(uri), store(open()) {}
  std::unique_ptr<Store> open() {
    return contract::must(open_mongo_store(database.options(&clock), clock, rng));
  }

  contract::ManualClock clock{from_ms(1'767'225'600'000)};  // 2026-01-01T00:00:00Z
  SystemRng rng;
  mongo::TestDatabase database;
  std::unique_ptr<Store> store, other;
};

class MongoHarness final : public contract::Harness {
 public:
  explicit MongoHarness(const std::string& uri) : opened_(std::make_shared<Opened>(uri)) {}
  ~MongoHarness() override { mongo::destroy_later(std::move(opened_)); }
  Store& store() override { return *opened_->store; }
  Store& other() override {
    if (!opened_->other) opened_->other = opened_->open();
    return *opened_->other;
  }
  contract::ManualClock& clock() override { return opened_->clock; }

 private:
  std::shared_ptr<Opened> opened_;
};

INSTANTIATE_TEST_SUITE_P(
    Mongo, StoreContract,
    testing::Values(
        ContractParam{"replica_set",
                      [] { return std::make_unique<MongoHarness>(mongo::replica_set()); }},
        ContractParam{"standalone",
                      [] { return std::make_unique<MongoHarness>(mongo::standalone()); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tidegate::store
