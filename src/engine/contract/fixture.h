#pragma once
// What the contract's suites share: a destination under test in a folder of its own, a scripted
// source, and runs between them.

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "engine/contract/faults.h"
#include "engine/contract/scripted_source.h"
#include "engine/core/entity_run.h"
#include "engine/core/registry.h"

namespace tidegate::engine::contract {

// How to make a destination, and how to read back what a reader of it sees. Differences between
// connectors are declared here; the suites never ask for a name.
struct DestinationUnderTest {
  std::string name;
  const Connector& (*connector)() = nullptr;
  boost::json::object (*config)(const std::string& folder) = nullptr;
  const Connector& (*reader)() = nullptr;
  boost::json::object (*reader_config)(const std::string& folder) = nullptr;
  // The rejected rows that are kept of the entity "t", sorted: `run/attempt locator`.
  std::vector<std::string> (*rejected)(const std::string& folder) = nullptr;
  // The destination is lost with all that it holds, also while a writer has it open, and an empty
  // one is in its place.
  enum class Loss : std::uint8_t { Moved, Removed };
  void (*lose)(const std::string& folder, Loss loss) = &lose_folder;
  // A copy is made, and takes the destination's place later, as a backup that is restored.
  void (*back_up)(const std::string& folder) = &back_up_folder;
  void (*restore)(const std::string& folder) = &restore_folder;
  void (*tidy)(const std::string& folder) = &tidy_folder;  // at the end of a test

  static void lose_folder(const std::string& folder, Loss loss);
  static void back_up_folder(const std::string& folder);
  static void restore_folder(const std::string& folder);
  static void tidy_folder(const std::string& folder);

  bool holds_nul = true;          // in a text; else such a row is rejected
  bool merges = true;             // incremental
  bool appends = true;            // full_append, incremental_append
  bool keeps_types = true;        // types come back as they went in
  bool keeps_json_text = true;    // byte by byte; else the value, written without blanks
  int decimal_digits = 38;        // of a value
  std::int64_t time_step_us = 1;  // between two times that it tells apart
  int first_day = -719'528;       // since 1970-01-01, that a date can be
  bool widens = true;             // schemaChange evolve can widen a column's type
  bool reads_may_fail = false;  // a read that is open while a table is replaced: an error, no part
  bool rows_in_transaction =
      true;  // a crash before commit leaves nothing that abort() would have undone
};
std::ostream& operator<<(std::ostream& out, const DestinationUnderTest& d);

class CollectingSink final : public EventSink {
 public:
  void send(const protocol::Event& event) override {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
  }
  std::vector<protocol::StateCommitted> states() const;
  std::vector<protocol::Progress> progress() const;

 private:
  template <class Event>
  std::vector<Event> all_of() const;

  mutable std::mutex mutex_;
  std::vector<protocol::Event> events_;
};

// One folder with a destination in it, and the means to run against it.
class Bench {
 public:
  explicit Bench(DestinationUnderTest under_test);
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // A new connection each time, as a new process would have.
  std::unique_ptr<Destination> destination();
  std::unique_ptr<Source> reader();

  // Runs one entity. The spec's job and fence are kept; each call is one attempt.
  protocol::EntityResult run(const std::string& entity = "t");
  protocol::EntityResult run(Destination& destination, const std::string& entity = "t");

  // A dry run over every entity of the source.
  protocol::RunResult look();

  // The rows a reader sees, as texts over the scripted entity's columns.
  std::vector<std::string> stored(const std::string& entity = "t");
  std::vector<std::string> expected(const std::string& entity = "t");
  std::vector<std::string> texts(const std::vector<std::string>& columns,
                                 const std::string& entity = "t");
  // True: no table at all, or no row in it.
  bool nothing_stored(const std::string& entity = "t");

  ScriptedEntity& entity(const std::string& name = "t") { return source.entities[name]; }
  // The job remembers what the last run committed, as the control store would.
  void remember();

  DestinationUnderTest under_test;
  std::string folder;
  ScriptedSource source;
  protocol::RunSpec spec;
  CollectingSink sink;
  std::unique_ptr<LeaseGuard> lease;
  std::int64_t checkpoint_rows = 250'000;
  std::optional<Fence> fence_found;  // told by a destination that refused

 private:
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  std::unique_ptr<Context> context_;
};

class DestinationContract : public testing::TestWithParam<DestinationUnderTest> {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::unique_ptr<Bench> bench_;
};

// The same, with a process that dies at every step.
class CrashContract : public DestinationContract {
 protected:
  void SetUp() override;
};

// Fences, owners, changed destinations, resets.
class OwnershipContract : public DestinationContract {
 protected:
  void SetUp() override;
};

// A static library drops objects that nobody names; this names the suites' objects.
int link_suites();
int link_destination_suite();
int link_crash_suite();
int link_ownership_suite();
int link_incremental_suite();
int link_rejects_suite();

}  // namespace tidegate::engine::contract

// In a connector's test: every suite over it.
#define TIDEGATE_DESTINATION_CONTRACT(name, value)                             \
  using namespace tidegate::engine::contract; /* NOLINT */                     \
  [[maybe_unused]] const int kLinked##name = link_suites();                    \
  INSTANTIATE_TEST_SUITE_P(name, DestinationContract, testing::Values(value)); \
  INSTANTIATE_TEST_SUITE_P(name, CrashContract, testing::Values(value));       \
  INSTANTIATE_TEST_SUITE_P(name, OwnershipContract, testing::Values(value))
