#include "control/store/sql_rows.h"

#include <gtest/gtest.h>

#include <string>

namespace tidegate::store::sql {
namespace {

TEST(Durations, AreReadAsTheyAreWritten) {
  for (const std::deque<Millis>& durations :
       {std::deque<Millis>{}, {Millis(0)}, {Millis(17), Millis(-3), Millis(9'000'000'000'000)}}) {
    model::SyncJob job;
    job.success_durations = durations;
    const auto back = durations_from(durations_text(job));
    ASSERT_TRUE(back) << durations_text(job);
    EXPECT_EQ(*back, durations);
  }
}

TEST(Durations, OfADamagedColumnAreRefused) {
  for (const char* text : {"", "[", "]", "{}", "null", "7", "[1,]", "[,1]", "[1,,2]", "[1 2]",
                           "[1.5]", "[\"1\"]", "[1]x", "[99999999999999999999]"}) {
    const auto refused = durations_from(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, Code::Internal);
    EXPECT_NE(refused.error().message.find("success_durations"), std::string::npos) << text;
  }
}

TEST(RunDetail, HoldsWhatHasNoColumnAndNothingElse) {
  model::Run run;
  EXPECT_EQ(run_detail(run), "");
  run.id = RunId("r");
  run.error = "e";
  run.owner = OwnerId("o");
  EXPECT_EQ(run_detail(run), "");
  run.only_entities = {"a"};
  run.take_over = true;
  run.progress["a"] = {.rows_read = 2, .rows_written = 1, .bytes = 3};
  run.attempts.push_back({.number = 1, .owner = OwnerId("o"), .fence = Fence{5}});
  run.warnings = {"w"};
  EXPECT_EQ(run_detail(run),
            R"({"only":["a"],"takeOver":true,"progress":{"a":{"read":2,"written":1,"bytes":3}},)"
            R"("attempts":[{"number":1,"owner":"o","startedAt":0,"fence":5}],"warnings":["w"]})");
}

}  // namespace
}  // namespace tidegate::store::sql
