#pragma once
// What writers of a table may do under the promise that a job's settings make, at its worst: late
// commits, equal and back-dated stamps, NULLs, changes. All of it is decided by a seed.

#include <cstdint>
#include <map>
#include <optional>

#include "base/rng.h"
#include "engine/contract/changing_table.h"

namespace tidegate::engine::contract {

// What a user says of the source. A tick is a millisecond, or an hour where the cursor is a date.
struct Promise {
  CursorColumn cursor = CursorColumn::Micros;
  bool key = true;                            // rows change; else they are only added
  std::optional<std::int64_t> lag = {};       // in ticks: from its statement to its commit
  std::optional<std::int64_t> lookback = {};  // in ticks: how far behind its statement a stamp is

  Micros tick() const { return cursor == CursorColumn::Date ? 3'600'000'000 : 1000; }
  Micros lag_us() const { return lag.value_or(0) * tick(); }
  Micros lookback_us() const { return lookback.value_or(0) * tick(); }
  // A time as the column holds it. REQUIRES: it holds times.
  std::int64_t stamp(Micros t) const;
  // What is so far before a value of the column that only the lookback reaches it.
  std::int64_t looked_back(std::int64_t at) const;
};

class Writers {
 public:
  Writers(ChangingTable& table, Promise promise, std::uint64_t seed)
      : table_(table), promise_(promise), rng_(seed) {}

  // From one read to the next, the times of which are given; some of it is committed later.
  // `bound`: the greatest cursor that any read has met, beside which rows turn up.
  void work(Micros since, Micros until, const std::optional<std::int64_t>& bound);
  // The column gets finer.
  void refine(CursorColumn cursor) { promise_.cursor = cursor; }

  Micros last_commit() const { return last_commit_; }

 private:
  struct Delays {
    Micros open = 0, back = 0;
  };
  void statement(Micros started);
  void at_the_bound(Micros since, Micros until, std::int64_t bound);
  void at_the_edges(Micros until);
  Delays delays();
  std::int64_t number(Micros started, Micros committed);
  void insert(RowVersion version);
  void insert_or_change(RowVersion version);

  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(n)));
  }
  bool one_in(std::int64_t n) { return below(n) == 0; }

  ChangingTable& table_;
  Promise promise_;
  SeededRng rng_;
  std::int64_t rows_ = 0;
  std::map<std::int64_t, Micros> locked_until_;  // by row: one transaction at a time changes it
  std::int64_t number_ = 0;
  Micros number_held_until_ = 0;
  Micros last_commit_ = 0;
};

}  // namespace tidegate::engine::contract
