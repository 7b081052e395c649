#include "engine/contract/writers.h"

#include <algorithm>
#include <vector>

namespace tidegate::engine::contract {
namespace {

constexpr Micros kDay = 86'400'000'000;
constexpr std::int64_t kFewIds = 3, kFewValues = 4;  // so that whole rows are equal
constexpr std::int64_t kSlowTicks = 10;              // a transaction that holds its number

}  // namespace

std::int64_t Promise::stamp(Micros t) const {
  if (cursor == CursorColumn::Millis) return t / 1000 * 1000;
  return cursor == CursorColumn::Date ? t / kDay : t;
}

std::int64_t Promise::looked_back(std::int64_t at) const {
  return cursor == CursorColumn::Date ? at - (lookback_us() + kDay - 1) / kDay : at - lookback_us();
}

void Writers::work(Micros since, Micros until, const std::optional<std::int64_t>& bound) {
  std::vector<Micros> starts(static_cast<std::size_t>(2 + below(5)));
  for (Micros& start : starts) start = since + below(until - since);
  std::ranges::sort(starts);
  for (const Micros start : starts) statement(start);
  if (bound && one_in(3)) at_the_bound(since, until, *bound);
  if (promise_.lag && one_in(3)) at_the_edges(until);
}

// Several rows of one transaction at times.
void Writers::statement(Micros started) {
  const Delays d = delays();
  RowVersion version{.started = started, .committed = started + d.open};
  version.at = promise_.cursor == CursorColumn::Number ? number(started, version.committed)
                                                       : promise_.stamp(started - d.back);
  if (one_in(8)) version.at.reset();
  for (std::int64_t n = one_in(4) ? 3 : 1; n > 0; --n) insert_or_change(version);
}

// At most what is promised, and often just that. Without a lag the lookback is all there is for
// both.
Writers::Delays Writers::delays() {
  const auto some = [this](Micros most) {
    return one_in(2) ? 0 : one_in(4) ? most : below(most + 1);
  };
  if (promise_.cursor == CursorColumn::Number) {
    return {.open = one_in(4) ? below(kSlowTicks * promise_.tick()) : 0};
  }
  Delays d;
  d.open = some(promise_.lag ? promise_.lag_us() : promise_.lookback_us());
  d.back = some(promise_.lookback_us() - (promise_.lag ? 0 : d.open));
  return d;
}

// As a version counter is kept by those who know: the next number is given out when all who hold
// the last one have committed. Then what comes late has the bound's own value.
std::int64_t Writers::number(Micros started, Micros committed) {
  if (started >= number_held_until_) ++number_;
  number_held_until_ = std::max(number_held_until_, committed);
  return number_;
}

// Whenever they come, no read may have gone past them.
void Writers::at_the_bound(Micros since, Micros until, std::int64_t bound) {
  const Micros now = since + below(until - since);
  for (std::int64_t n = 1 + below(2); n > 0; --n) {
    insert_or_change({.at = bound, .started = now, .committed = now});
  }
  if (!promise_.lookback) return;
  insert_or_change({.at = promise_.looked_back(bound), .started = now, .committed = now});
}

// One row makes the read at `until` go as far as the lag lets it; others, as late as they may be,
// are committed at that very moment, which the read does not see any more.
void Writers::at_the_edges(Micros until) {
  const Micros started = until - promise_.lag_us();
  const std::int64_t at = promise_.stamp(started);
  insert({.at = at, .started = started, .committed = until - 1});
  insert({.at = at, .started = started, .committed = until});
  if (!promise_.lookback) return;
  insert({.at = promise_.stamp(started - promise_.lookback_us()),
          .started = started,
          .committed = until});
}

void Writers::insert(RowVersion version) {
  version.row = rows_++;
  version.id = promise_.key ? version.row : below(kFewIds);
  version.v = below(kFewValues);
  locked_until_[version.row] = version.committed;
  last_commit_ = std::max(last_commit_, version.committed);
  table_.add(version);
}

void Writers::insert_or_change(RowVersion version) {
  if (!promise_.key || rows_ == 0 || one_in(2)) return insert(version);
  // The newest ones more often.
  version.row = one_in(2) ? below(rows_) : rows_ - 1 - below(std::min<std::int64_t>(rows_, 10));
  Micros& locked_until = locked_until_[version.row];
  if (locked_until > version.started) return insert(version);
  version.id = version.row;
  version.v = below(kFewValues);
  locked_until = version.committed;
  last_commit_ = std::max(last_commit_, version.committed);
  table_.add(version);
}

}  // namespace tidegate::engine::contract
