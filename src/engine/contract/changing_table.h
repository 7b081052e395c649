#pragma once
// A source over a table that transactions change: what they wrote is seen from their commit on. Its
// history is the model of what must arrive.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/core/source.h"

namespace tidegate::engine::contract {

using Micros = std::int64_t;  // since 1970: finer than the engine's clock

enum class CursorColumn : std::uint8_t { Micros, Millis, Number, Date };

// A row as one statement left it.
struct RowVersion {
  std::int64_t row = 0;              // which row of the table; its later versions take its place
  std::int64_t id = 0, v = 0;        // its columns; the id is the key where there is one
  std::optional<std::int64_t> at{};  // its cursor: µs or days since 1970, or a number
  Micros started = 0;                // its statement
  Micros committed = 0;              // seen by whoever looks after this
};

// Used by one thread at a time.
class ChangingTable final : public Source {
 public:
  struct Reading {
    bool ordered = false;   // else in any order, with pages that repeat and rows unasked for
    bool repeats = true;    // in any order: a page may come twice
    Micros page_takes = 0;  // ordered: others commit meanwhile; 0 is a snapshot
    bool strict = false;    // leaves out the rows at the lower bound: the classic fault
    std::optional<int> fails_at{};  // the page that is an error
  };
  static constexpr int kMostPages = 10;  // from there on the time of a read stands still

  ChangingTable(CursorColumn cursor, std::uint64_t seed) : cursor(cursor), rng_(seed) {}

  // REQUIRES: committed not before what was looked at already.
  void add(const RowVersion& version) { history_.emplace(version.committed, version); }
  // In the order of their commits.
  const std::multimap<Micros, RowVersion>& history() const { return history_; }
  // What is seen then. REQUIRES: `at` never goes back.
  const std::map<std::int64_t, RowVersion>& look(Micros at);
  // The same, as a batch.
  std::shared_ptr<arrow::RecordBatch> all(Micros at);
  std::shared_ptr<arrow::Schema> schema() const;

  std::string identity() const override { return "changing"; }
  Status check() override { return {}; }
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

  CursorColumn cursor;
  Reading reading;
  Micros read_at = 0;  // when the next read begins
  std::int64_t repeated_pages = 0;

 private:
  std::multimap<Micros, RowVersion> history_;
  Micros looked_at_ = 0;
  std::map<std::int64_t, RowVersion> seen_;  // by row
  SeededRng rng_;
};

// Of the columns id, v and at.
std::shared_ptr<arrow::RecordBatch> batch_of(const std::vector<RowVersion>& rows,
                                             const std::shared_ptr<arrow::Schema>& schema);

}  // namespace tidegate::engine::contract
