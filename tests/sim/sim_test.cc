// Many simulated lives. A seed that fails is printed; TIDEGATE_SIM_SEED=N replays that one alone.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "tests/sim/world.h"

namespace tidegate::sim {
namespace {

constexpr int kGroups = 10;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// All lives of this process; printed at its end.
Report g_total;  // NOLINT: the summary of the tests below
std::uint64_t g_lives = 0;

void add(const Report& report) {
  ++g_lives;
  for (std::size_t i = 0; i < kFaultKinds; ++i) g_total.bites[i] += report.bites[i];
  g_total.runs += report.runs;
  g_total.attempts += report.attempts;
  g_total.slots += report.slots;
  g_total.commits += report.commits;
}

class Summary final : public ::testing::Environment {
 public:
  void TearDown() override {
    if (g_lives == 0) return;
    std::cout << fmt::format("{} lives: {} slots, {} runs, {} attempts, {} commits\n", g_lives,
                             g_total.slots, g_total.runs, g_total.attempts, g_total.commits);
    for (std::size_t i = 0; i < kFaultKinds; ++i) {
      std::cout << fmt::format("  {:>9} × {}\n", g_total.bites[i], kFaultNames[i]);
    }
  }
};
[[maybe_unused]] const auto* const g_summary =
    ::testing::AddGlobalTestEnvironment(new Summary);  // gtest owns it

std::string broken_promises(std::uint64_t seed, const Report& report) {
  std::string text = fmt::format("seed {}; again: TIDEGATE_SIM_SEED={} {}/bin/sim_test", seed, seed,
                                 TIDEGATE_BINARY_DIR);
  for (const std::string& what : report.violations) text += "\n  " + what;
  return text;
}

// Each life of its own world; stops at the first that fails.
void live(std::uint64_t first, std::uint64_t count) {
  log::configure(LogLevel::Error, log::Format::Text);
  Bites bites{};
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Report report = World(seed).live();
    add(report);
    for (std::size_t i = 0; i < kFaultKinds; ++i) bites[i] += report.bites[i];
    ASSERT_TRUE(report.violations.empty()) << broken_promises(seed, report);
  }
  if (count < 50) return;  // a replay
  for (std::size_t i = 0; i < kFaultKinds; ++i) {
    EXPECT_GT(bites[i], 0U) << "never bit in " << count << " lives: " << kFaultNames[i];
  }
}

class Seeds : public ::testing::TestWithParam<int> {};

TEST_P(Seeds, KeepEveryPromise) {
  if (const std::uint64_t seed = number_from("TIDEGATE_SIM_SEED", 0); seed != 0) {
    if (GetParam() == 0) live(seed, 1);
    return;
  }
  const std::uint64_t each = number_from("TIDEGATE_SIM_LIVES", 500) / kGroups;
  const std::uint64_t first = number_from("TIDEGATE_SIM_FIRST", 1);
  live(first + static_cast<std::uint64_t>(GetParam()) * each, each);
}
INSTANTIATE_TEST_SUITE_P(Sim, Seeds, ::testing::Range(0, kGroups));

TEST(Replay, TheSameSeedIsTheSameLife) {
  log::configure(LogLevel::Error, log::Format::Text);
  const Report once = World(7).live(), again = World(7).live(), other = World(8).live();
  EXPECT_EQ(once.trace, again.trace);
  EXPECT_NE(once.trace, other.trace);
}

}  // namespace
}  // namespace tidegate::sim
