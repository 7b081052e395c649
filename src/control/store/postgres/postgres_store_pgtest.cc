#include "control/store/contract/contract.h"
#include "control/store/postgres/pg_test_fixture.h"

namespace tidegate::store {
namespace {

// The store's clock is a function of its schema: here one that reads what the test has set.
class PostgresHarness final : public contract::Harness {
 public:
  PostgresHarness() {
    const std::string clock = schema_.name() + ".test_clock";
    schema_.console.run("CREATE TABLE " + clock + " (at timestamptz NOT NULL)");
    schema_.console.ask("INSERT INTO " + clock + " VALUES ($1)", clock_.now());
    store_ = contract::must(schema_.open());
    schema_.console.run("CREATE OR REPLACE FUNCTION " + schema_.name() +
                        ".tidegate_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at "
                        "FROM " +
                        clock + "'");
  }
  Store& store() override { return *store_; }
  Store& other() override {
    if (!other_) other_ = contract::must(schema_.open());
    return *other_;
  }
  contract::ManualClock& clock() override { return clock_; }

 private:
  ScratchSchema schema_;
  contract::ManualClock clock_{from_ms(1'767'225'600'000), [this](Instant now) {  // 2026-01-01
                                 schema_.console.ask(
                                     "UPDATE " + schema_.name() + ".test_clock SET at = $1", now);
                               }};
  std::unique_ptr<Store> store_, other_;
};

INSTANTIATE_TEST_SUITE_P(Postgres, StoreContract,
                         testing::Values(ContractParam{
                             "postgres", [] { return std::make_unique<PostgresHarness>(); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tidegate::store
