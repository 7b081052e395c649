#pragma once
// What every source must do, whatever it reads: a connector's test says how to make its entities.

#include <arrow/type_fwd.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "engine/core/registry.h"

namespace tidegate::engine::contract {

// Differences between connectors are declared here; the suite never asks for a name.
struct SourceUnderTest {
  std::string name;
  const Connector& (*connector)() = nullptr;
  boost::json::object (*config)(const std::string& folder) = nullptr;
  // Makes the entity in the folder, or makes it anew: columns of int64, float64 and utf8.
  void (*make)(const std::string& folder, const std::string& entity,
               const arrow::RecordBatch& rows) = nullptr;
  // Makes a part of it unreadable, also for who has it open.
  void (*damage)(const std::string& folder, const std::string& entity) = nullptr;
  bool keeps_empty_columns = true;       // an entity without rows still says what its columns are
  std::int64_t many_rows = 70'000;       // of a large entity; more than a batch
  std::vector<std::string> own_columns;  // that each entity has before those it was made of
};
std::ostream& operator<<(std::ostream& out, const SourceUnderTest& s);

class SourceContract : public testing::TestWithParam<SourceUnderTest> {
 protected:
  SourceContract();
  ~SourceContract() override;

  using Batches = std::vector<std::shared_ptr<arrow::RecordBatch>>;

  void make(const std::string& entity, const std::shared_ptr<arrow::RecordBatch>& rows);
  // A new one each time, as a new process would have.
  std::unique_ptr<Source> source();
  // The entity as discover() shows it; fails the test when it does not.
  static EntityInfo discovered(Source& source, const std::string& entity);
  // The names of its columns, without own_columns.
  static std::vector<std::string> made_columns(const EntityInfo& info);
  static ReadParams everything(const EntityInfo& info);
  // All batches of a read, each held against the rules for batches.
  static Result<Batches> read(Source& source, const ReadParams& params);

  std::string folder_;
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  std::stop_source stop_;
  std::unique_ptr<Context> context_;
};

int link_source_suite();

}  // namespace tidegate::engine::contract

// In a connector's test: the suite over it.
#define TIDEGATE_SOURCE_CONTRACT(name, value)                           \
  using namespace tidegate::engine::contract; /* NOLINT */              \
  [[maybe_unused]] const int kLinkedSource##name = link_source_suite(); \
  INSTANTIATE_TEST_SUITE_P(name, SourceContract, testing::Values(value))
