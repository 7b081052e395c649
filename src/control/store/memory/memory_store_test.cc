#include "control/store/memory/memory_store.h"
#include "control/store/contract/contract.h"

namespace tidegate::store {
namespace {

class MemoryHarness final : public contract::Harness {
 public:
  Store& store() override { return *store_; }
  Store& other() override { return *store_; }  // one process has all there is
  contract::ManualClock& clock() override { return clock_; }

 private:
  contract::ManualClock clock_{from_ms(1'767'225'600'000)};  // 2026-01-01T00:00:00Z
  std::unique_ptr<Store> store_ = make_memory_store(clock_);
};

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         testing::Values(ContractParam{
                             "memory", [] { return std::make_unique<MemoryHarness>(); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tidegate::store
