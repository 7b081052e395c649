// What a run's child is told.
#include "control/worker/run_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RunRequest : public ::testing::Test {
 protected:
  RunRequest() {
    claimed_.spec = spec_;
    claimed_.source = claimed_.destination = std::make_shared<const model::Connection>();
    for (const char* name : {"a", "b", "c"}) claimed_.known_state[name].state = "s";
  }
  Result<protocol::Request> make() {
    const EndpointResolver resolve = [](const model::Connection&) -> Result<protocol::Endpoint> {
      return protocol::Endpoint{};
    };
    return run_request(claimed_, BootInstant(), resolve, options_, masker_);
  }
  std::string states() {
    std::string names;
    for (const auto& [name, state] : make().value().run.known_state) names += name;
    return names;
  }

  const std::shared_ptr<model::JobSpec> spec_ = std::make_shared<model::JobSpec>();
  store::ClaimedRun claimed_;
  WorkerOptions options_;
  secrets::Masker masker_;
};

TEST_F(RunRequest, CarriesTheStatesOfTheEntitiesThatAreNamed) {
  auto& filter = spec_->entity_filter;
  EXPECT_EQ(states(), "abc");
  filter = {"b", "unknown"};
  EXPECT_EQ(states(), "b");
  filter = {"b", "c*"};
  EXPECT_EQ(states(), "abc") << "a glob may mean any";
  claimed_.run.only_entities = {"c"};
  EXPECT_EQ(states(), "c");
}

// The engine refused the line with words about JSON.
TEST_F(RunRequest, StatesBeyondTheLineAreAnErrorThatSaysWhatToDo) {
  claimed_.known_state["a"].state = std::string(protocol::kMaxLine, 'x');
  const auto refused = make();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Invalid);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("16 MiB"), HasSubstr("entityFilter")));
  claimed_.run.only_entities = {"b"};
  EXPECT_TRUE(make());
}

TEST_F(RunRequest, TakesTablesOverOnlyWhenTheRunWasAskedTo) {
  EXPECT_FALSE(make().value().run.take_over);
  claimed_.run.take_over = true;
  EXPECT_TRUE(make().value().run.take_over);
}

}  // namespace
}  // namespace tidegate::worker
