#include "engine/contract/watermark_contract.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <variant>

namespace tidegate::engine::contract {
namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;

constexpr int kRuns = 200;
constexpr int kRunsOfANaiveOne = 40;
constexpr Micros kStart = 1'767'225'600'000'000;   // 2026-01-01
constexpr std::int64_t kLag = 50, kLookback = 80;  // ticks

// What was met that a lesser engine would get wrong.
enum class Trap : std::uint8_t {
  AtTheBound,  // came with the value that the last read had ended with
  Late,        // committed behind rows with a greater stamp that a read had seen
  BackDated,   // came with less than the value that the last read had ended with
  Null,        // came without a cursor
  Moved,       // a row that a read had seen has another cursor now
  InProgress,  // its statement was before a read, its commit behind it
  Twin,        // equals another row in everything
  Refined,     // a read with a finer column than the last
  PageTwice,
  Stopped,  // this and the next: a run was cut off
  SourceGone,
  LeaseLost,
  AnswerLost,
  CutInPart,  // behind a commit that stays
};
constexpr std::string_view kTrapNames[] = {
    "at the bound", "late",       "back-dated",  "null",       "moved",
    "in progress",  "twin",       "refined",     "page twice", "stopped",
    "source gone",  "lease lost", "answer lost", "cut in part"};
static_assert(std::size(kTrapNames) == static_cast<std::size_t>(Trap::CutInPart) + 1);

std::vector<Trap> traps_of(const WatermarkCase& c) {
  const bool number = c.promise.cursor == CursorColumn::Number;
  std::vector<Trap> traps = {Trap::AtTheBound, Trap::Null,      Trap::Stopped,
                             Trap::SourceGone, Trap::LeaseLost, Trap::AnswerLost};
  const auto when = [&](bool applies, Trap trap) {
    if (applies) traps.push_back(trap);
  };
  when(c.promise.lag.has_value(), Trap::Late);
  when(c.promise.lookback.has_value(), Trap::BackDated);
  when(number || c.promise.lag || c.promise.lookback, Trap::InProgress);
  when(c.promise.key, Trap::Moved);
  when(!c.promise.key, Trap::Twin);
  when(c.promise.key && !c.ordered, Trap::PageTwice);
  when(c.ordered, Trap::CutInPart);
  when(c.refines, Trap::Refined);
  return traps;
}

class MovedClock final : public Clock {
 public:
  Instant now() const override { return from_ms(at / 1000); }
  BootInstant boot_now() const override { return boot; }

  Micros at = kStart;
  BootInstant boot{Millis(1'000'000)};
};

// What the control store would remember.
class Remembered final : public EventSink {
 public:
  void send(const protocol::Event& event) override {
    const auto* committed = std::get_if<protocol::StateCommitted>(&event);
    if (committed == nullptr) return;
    state = committed->state;
    ++commits;
  }

  std::optional<protocol::KnownState> state;
  std::int64_t commits = 0;
};

struct Cut {
  std::optional<Trap> how{};  // none: the run ends well
  int call = 0;               // at which of its kind
};

// One table, one destination, and runs between them at times of the test's own.
class WatermarkBench {
 public:
  WatermarkBench(const DestinationUnderTest& destination, const Promise& promise,
                 std::uint64_t seed = 1)
      : table(promise.cursor, seed), promise_(promise), bench_(destination) {
    spec.job = "job-1";
    spec.mode = promise.key ? SyncMode::Incremental : SyncMode::IncrementalAppend;
    auto& options = spec.entities["t"];
    options.cursor = "at";
    if (promise.key) options.primary_key = {"id"};
    if (promise.lag) options.lag = Millis(promise.lag_us() / 1000);
    if (promise.lookback) options.lookback = Millis(promise.lookback_us() / 1000);
    next_run();
  }

  void next_run() {
    spec.run_id = RunId(fmt::format("run-{}", ++runs_));
    spec.attempt = 0;
  }

  // The next attempt of the run.
  protocol::EntityResult attempt(Micros at, const Cut& cut = {}) {
    ++spec.attempt;
    spec.fence = Fence(++fence_);
    clock_.at = table.read_at = at;
    table.reading.fails_at.reset();
    if (cut.how == Trap::SourceGone) table.reading.fails_at = cut.call;
    LeaseGuard lease(clock_, clock_.boot_now() + Millis(60'000), Millis(0));
    const auto real = bench_.destination();
    FaultyDestination destination(*real, [&, calls = 0](Call call, Moment moment) mutable {
      return fault(cut, call, moment, calls, lease);
    });
    const Context context{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
    RunEnvironment env{.spec = spec,
                       .source = table,
                       .destination = destination,
                       .lease = lease,
                       .events = remembered,
                       .context = context,
                       .checkpoint_rows = 4};
    const Catalog catalog = *table.discover({});
    auto result = EntityRun(env, catalog.entities.front()).execute();
    if (remembered.state) spec.known_state["t"] = *remembered.state;
    return result;
  }

  std::vector<std::string> stored(const std::vector<std::string>& columns = {"id", "v", "at"}) {
    return bench_.texts(columns);
  }
  std::vector<std::string> expected(Micros at) {
    return row_texts({table.all(at)}, table.schema()->field_names());
  }

  ChangingTable table;
  protocol::RunSpec spec;
  Remembered remembered;

 private:
  // On the thread that writes, so that it meets the same rows each time.
  Status fault(const Cut& cut, Call call, Moment moment, int& calls, LeaseGuard& lease) {
    const bool stop = cut.how == Trap::Stopped && call == Call::Write && moment == Moment::Before;
    const bool lose = cut.how == Trap::LeaseLost && call == Call::Flush && moment == Moment::After;
    const bool mute =
        cut.how == Trap::AnswerLost && call == Call::Commit && moment == Moment::After;
    if (!(stop || lose || mute) || calls++ != cut.call) return {};
    if (stop) lease.cancel("the run was stopped");
    if (lose) clock_.boot += Millis(120'000);
    if (mute) return fail(Code::Unavailable, "the answer was lost");
    return {};
  }

  Promise promise_;
  Bench bench_;
  MovedClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  int runs_ = 0;
  std::int64_t fence_ = 0;
};

// The writers, the reads between their statements, and what of it came to pass.
class Adversary {
 public:
  Adversary(const DestinationUnderTest& destination, const WatermarkCase& c, std::uint64_t seed)
      : case_(c),
        bench_(destination, c.promise, seed),
        writers_(bench_.table, c.promise, seed + 1),
        rng_(seed + 2) {
    bench_.table.reading.ordered = c.ordered;
    bench_.table.reading.repeats = c.promise.key;
    bench_.table.reading.page_takes = c.live ? c.promise.tick() / 3 : 0;
  }

  void be_naive() { bench_.table.reading.strict = true; }

  // Runs, some of them cut off and repeated; then nobody writes any more, the clock is past all
  // that may be late, and one more run brings the rest.
  void run(int runs) {
    for (int i = 0; i < runs && !testing::Test::HasFailure(); ++i) {
      if (case_.refines && i == runs / 2) refine();
      run_once();
    }
    idle();
  }

  protocol::EntityResult idle() {
    bench_.next_run();
    read(std::max(read_until_, writers_.last_commit()) + case_.promise.lag_us() +
             48 * case_.promise.tick(),
         {});
    return last_;
  }

  // Between the destination and the source; "" for none.
  std::string difference() {
    const auto stored = bench_.stored();
    const auto expected = bench_.expected(read_until_);
    std::vector<std::string> lost;
    std::vector<std::string> extra;
    std::ranges::set_difference(expected, stored, std::back_inserter(lost));
    std::ranges::set_difference(stored, expected, std::back_inserter(extra));
    if (lost.empty() && extra.empty()) return "";
    const auto some = [](std::vector<std::string>& rows) {
      const std::size_t n = rows.size();
      rows.resize(std::min<std::size_t>(n, 5));
      return fmt::format("{}: {}", n, fmt::join(rows, ", "));
    };
    return fmt::format("of {} rows lost {}; too many {}", expected.size(), some(lost), some(extra));
  }

  std::int64_t met(Trap trap) const {
    if (trap == Trap::PageTwice) return bench_.table.repeated_pages;
    const auto it = met_.find(trap);
    return it == met_.end() ? 0 : it->second;
  }

 private:
  void run_once() {
    bench_.next_run();
    for (int cuts = 0;; ++cuts) {
      const Micros at = next_time();
      writers_.work(read_until_, at, greatest_);
      count_what_came(at);
      const Cut cut = cuts < 3 && rng_.below(5) == 0 ? any_cut() : Cut{};
      if (read(at, cut)) return;
    }
  }

  void refine() {
    bench_.table.cursor = CursorColumn::Micros;
    writers_.refine(CursorColumn::Micros);
    ++met_[Trap::Refined];
  }

  // Often just when the engine's clock ticks.
  Micros next_time() {
    const auto tick = static_cast<std::uint64_t>(case_.promise.tick());
    const std::uint64_t ticks = static_cast<std::uint64_t>(read_until_) / tick + 2 + rng_.below(20);
    return static_cast<Micros>(ticks * tick + (rng_.below(2) == 0 ? 0 : rng_.below(tick)));
  }

  Cut any_cut() {
    static constexpr Trap kHow[] = {Trap::Stopped, Trap::SourceGone, Trap::LeaseLost,
                                    Trap::AnswerLost};
    return {.how = kHow[rng_.below(4)], .call = static_cast<int>(rng_.below(3))};
  }

  // False: it was cut off, and is to be repeated.
  bool read(Micros at, const Cut& cut) {
    const std::int64_t commits = bench_.remembered.commits;
    last_ = bench_.attempt(at, cut);
    const bool done = last_.outcome == EntityOutcome::Succeeded;
    if (!done && cut.how) {
      ++met_[*cut.how];
      if (bench_.remembered.commits > commits) ++met_[Trap::CutInPart];
    }
    EXPECT_TRUE(done || cut.how) << last_.error.value_or("no error");
    read_at_ = at;
    read_until_ = at + ChangingTable::kMostPages * bench_.table.reading.page_takes;
    was_whole_ = done;
    // The engine's clock tells milliseconds.
    const Promise& p = case_.promise;
    greatest_seen_ = greatest(std::numeric_limits<std::int64_t>::max());
    greatest_ = p.lag ? greatest(p.stamp(at / 1000 * 1000 - p.lag_us())) : greatest_seen_;
    return done || !cut.how;
  }

  // Of what was committed before the last read ended.
  std::optional<std::int64_t> greatest(std::int64_t most) const {
    std::optional<std::int64_t> out;
    const auto& history = bench_.table.history();
    const auto end = history.lower_bound(read_until_);
    for (auto it = history.begin(); it != end; ++it) {
      if (it->second.at && *it->second.at <= most) out = std::max(out, it->second.at);
    }
    return out;
  }

  void count_what_came(Micros at) {
    const auto& history = bench_.table.history();
    const auto end = history.lower_bound(at);
    for (auto it = history.lower_bound(read_at_); it != end; ++it) count(it->second);
  }

  void count(const RowVersion& now) {
    const bool twin = !twins_.insert({now.id, now.v, now.at}).second;
    const auto before = last_at_.find(now.row);
    const bool moved = before != last_at_.end() && before->second != now.at;
    last_at_[now.row] = now.at;
    if (!was_whole_) return;  // what it met is not known
    const auto meet = [this](bool met, Trap trap) { met_[trap] += met ? 1 : 0; };
    meet(twin, Trap::Twin);
    meet(moved, Trap::Moved);
    meet(!now.at, Trap::Null);
    meet(now.started < read_at_, Trap::InProgress);
    if (!now.at || !greatest_) return;
    meet(now.at == greatest_, Trap::AtTheBound);
    meet(now.at < greatest_, Trap::BackDated);
    meet(now.at > greatest_ && now.at < greatest_seen_, Trap::Late);
  }

  WatermarkCase case_;
  WatermarkBench bench_;
  Writers writers_;
  SeededRng rng_;
  protocol::EntityResult last_;
  Micros read_at_ = kStart, read_until_ = kStart;
  bool was_whole_ = false;
  // Cursors that reads have met: inside of their bounds, and at all.
  std::optional<std::int64_t> greatest_, greatest_seen_;
  std::set<std::tuple<std::int64_t, std::int64_t, std::optional<std::int64_t>>> twins_;
  std::map<std::int64_t, std::optional<std::int64_t>> last_at_;  // by row
  std::map<Trap, std::int64_t> met_;
};

std::uint64_t the_seed() {
  const char* text = std::getenv("TIDEGATE_TEST_SEED");  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

TEST_P(WatermarkContract, NothingIsLostOrDoubled) {
  const auto& [destination, c] = GetParam();
  SCOPED_TRACE(fmt::format("TIDEGATE_TEST_SEED={}", the_seed()));
  Adversary adversary(destination, c, the_seed());
  adversary.run(kRuns);
  EXPECT_EQ(adversary.difference(), "");
  if (!c.promise.key) EXPECT_EQ(adversary.idle().rows_written, 0);
  for (const Trap trap : traps_of(c)) {
    const auto name = std::string(kTrapNames[static_cast<std::size_t>(trap)]);
    EXPECT_GT(adversary.met(trap), 0) << name;
    RecordProperty(name, std::to_string(adversary.met(trap)));
  }
}

// The same traps catch an engine that asks for `cursor > last`.
TEST_P(WatermarkContract, ANaiveStrictBoundLosesRows) {
  const auto& [destination, c] = GetParam();
  SCOPED_TRACE(fmt::format("TIDEGATE_TEST_SEED={}", the_seed()));
  Adversary adversary(destination, c, the_seed());
  adversary.be_naive();
  adversary.run(kRunsOfANaiveOne);
  EXPECT_NE(adversary.difference(), "");
}

// A row each, with what its cursor is and when it was committed; then a run.
struct Row {
  std::int64_t at;
  Micros committed;
};
std::vector<std::string> read_after(WatermarkBench& bench, const std::vector<Row>& rows,
                                    Micros at) {
  for (const Row& row : rows) {
    const auto id = static_cast<std::int64_t>(bench.table.history().size());
    bench.table.add({.row = id, .id = id, .at = row.at, .committed = row.committed});
  }
  bench.next_run();
  const auto result = bench.attempt(at);
  EXPECT_EQ(result.outcome, EntityOutcome::Succeeded) << result.error.value_or("no error");
  return bench.stored({"id"});
}

using Texts = std::vector<std::string>;

TEST_P(WatermarkLimits, ARowCommittedLaterThanTheLagIsMissedUntilAFullRun) {
  const Promise promise{.lag = kLag};
  WatermarkBench bench(GetParam(), promise);
  const Micros at = kStart;
  const Micros edge = at - promise.lag_us();
  EXPECT_EQ(read_after(bench, {{edge, edge}}, at), (Texts{"id=0"}));
  EXPECT_EQ(read_after(bench, {{edge, at}, {edge - 1, at}}, at + promise.lag_us()),
            (Texts{"id=0", "id=1"}));
  bench.spec.mode = SyncMode::Full;
  EXPECT_EQ(read_after(bench, {}, at + promise.lag_us()), (Texts{"id=0", "id=1", "id=2"}));
}

TEST_P(WatermarkLimits, ARowBackDatedBeyondTheLookbackIsMissed) {
  const Promise promise{.lookback = kLookback};
  WatermarkBench bench(GetParam(), promise);
  const Micros edge = kStart - promise.lookback_us();
  EXPECT_EQ(read_after(bench, {{kStart, kStart}}, kStart + 1), (Texts{"id=0"}));
  EXPECT_EQ(read_after(bench, {{edge, kStart + 1}, {edge - 1, kStart + 1}}, kStart + 2),
            (Texts{"id=0", "id=1"}));
}

// A number says nothing of time, so neither setting could help: it is refused.
TEST_P(WatermarkLimits, ANumberCommittedBehindAGreaterOneIsMissed) {
  WatermarkBench bench(GetParam(), {.cursor = CursorColumn::Number});
  EXPECT_EQ(read_after(bench, {{1, kStart}, {3, kStart}}, kStart + 1), (Texts{"id=0", "id=1"}));
  EXPECT_EQ(read_after(bench, {{2, kStart + 1}, {3, kStart + 1}}, kStart + 2),
            (Texts{"id=0", "id=1", "id=3"}));
  for (const Promise& promise : {Promise{.cursor = CursorColumn::Number, .lag = kLag},
                                 Promise{.cursor = CursorColumn::Number, .lookback = kLookback}}) {
    WatermarkBench refused(GetParam(), promise);
    const auto result = refused.attempt(kStart);
    EXPECT_EQ(result.error_kind, "configuration");
    EXPECT_NE(result.error.value_or("").find("is a span of time"), std::string::npos);
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const WatermarkCase& c) { return out << c.name; }

// Without a lag each read is a snapshot: while others commit, one in the cursor's order would go
// past them. Without a key there is no lookback, which would append again.
const std::vector<WatermarkCase>& watermark_cases() {
  using enum CursorColumn;
  static const std::vector<WatermarkCase> cases = {
      {"MicrosKeyed", {Micros, true, {}, {}}},
      {"MicrosKeyedLag", {Micros, true, kLag, {}}, true, true},
      {"MicrosKeyedLookback", {Micros, true, {}, kLookback}, true},
      {"MicrosKeyedLagLookback", {Micros, true, kLag, kLookback}},
      {"MicrosKeyedLagLookbackLive", {Micros, true, kLag, kLookback}, true, true},
      {"MicrosUnkeyed", {Micros, false, {}, {}}, true},
      {"MicrosUnkeyedLag", {Micros, false, kLag, {}}},
      {"MicrosUnkeyedLagLive", {Micros, false, kLag, {}}, true, true},
      {"MillisKeyedLagLookbackLive", {Millis, true, kLag, kLookback}, true, true},
      {"MillisUnkeyed", {Millis, false, {}, {}}},
      {"MillisUnkeyedLagLive", {Millis, false, kLag, {}}, true, true},
      {"MillisThenMicrosKeyedLagLookback", {Millis, true, kLag, kLookback}, false, false, true},
      {"MillisThenMicrosUnkeyedLagLive", {Millis, false, kLag, {}}, true, true, true},
      {"NumberKeyed", {Number, true, {}, {}}},
      {"NumberKeyedOrdered", {Number, true, {}, {}}, true},
      {"NumberUnkeyed", {Number, false, {}, {}}, true},
      {"DateKeyedLagLookback", {Date, true, kLag, kLookback}},
      {"DateKeyedLookback", {Date, true, {}, kLookback}, true},
      {"DateUnkeyed", {Date, false, {}, {}}},
      {"DateUnkeyedLagLive", {Date, false, kLag, {}}, true, true},
  };
  return cases;
}

}  // namespace tidegate::engine::contract
