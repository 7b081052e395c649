#include "control/store/sqlite/sqlite_store.h"

#include <stdlib.h>

#include <filesystem>

#include "control/store/contract/contract.h"

namespace tidegate::store {
namespace {

class SqliteHarness final : public contract::Harness {
 public:
  SqliteHarness() {
    // In memory where there is such a place: these tests are about meaning, not about the disk.
    const std::filesystem::path memory = "/dev/shm";
    const auto base =
        std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (base / "tidegate-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    store_ = open();
  }
  ~SqliteHarness() override {
    other_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  Store& store() override { return *store_; }
  Store& other() override {
    if (!other_) other_ = open();
    return *other_;
  }
  contract::ManualClock& clock() override { return clock_; }

 private:
  std::unique_ptr<Store> open() {
    return contract::must(open_sqlite_store(
        {.path = folder_ + "/store.db", .boot_id = "boot-1", .poll_interval = Millis(10)}, clock_));
  }
  std::string folder_;
  contract::ManualClock clock_{from_ms(1'767'225'600'000)};  // 2026-01-01T00:00:00Z
  std::unique_ptr<Store> store_, other_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract,
                         testing::Values(ContractParam{
                             "sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tidegate::store
