#include "engine/core/bound.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

// Each hash as often as the set that has it more often: rows that left the source stay known.
RowSet unite(const RowSet& a, const RowSet& b) {
  RowSet out = a;
  for (const auto& [hash, n] : b) {
    auto& count = out[hash];
    count = std::max(count, n);
  }
  return out;
}

std::int64_t total(const RowSet& set) {
  std::int64_t n = 0;
  for (const auto& [hash, count] : set) n += count;
  return n;
}

}  // namespace

BoundFilter::BoundFilter(Config config)
    : config_(std::move(config)),
      remaining_bound_(config_.known.seen_at_bound),
      remaining_null_(config_.known.seen_null),
      max_(config_.known.cursor) {}

Status BoundFilter::too_many(std::string_view what) const {
  return fail(
      Code::Invalid,
      fmt::format("entity \"{}\": more than {} rows {}, and without a primary key each must be "
                  "remembered to be read once. Give entities[\"{}\"].primaryKey and the mode "
                  "incremental, or a finer cursor",
                  config_.entity, kMaxSeen, what, config_.entity),
      "too_many_at_bound");
}

bool BoundFilter::take_known(const std::string& hash, RowSet& remaining) {
  const auto it = remaining.find(hash);
  if (it == remaining.end()) return false;
  if (--it->second == 0) remaining.erase(it);
  return true;
}

Status BoundFilter::note(const arrow::RecordBatch& batch, std::int64_t row, RowSet& set,
                         std::int64_t& count, const std::string& known_hash) {
  if (++count > kMaxSeen) {
    if (!config_.has_key) {
      return too_many(&set == &seen_null_
                          ? "have NULL in the cursor column"
                          : fmt::format("have the cursor value {}", max_->to_string()));
    }
    set.clear();
    return {};
  }
  const bool same_columns = config_.known.seen_columns == columns_ && !known_hash.empty();
  ++set[same_columns ? known_hash : row_hash(batch, row, columns_)];
  return {};
}

Result<BoundFilter::Rows> BoundFilter::apply(const std::shared_ptr<arrow::RecordBatch>& batch) {
  if (columns_.empty()) {
    columns_ = batch->schema()->field_names();
    std::ranges::sort(columns_);
  }
  const auto cursor = batch->GetColumnByName(config_.cursor);
  const std::int64_t n = batch->num_rows();
  std::vector<std::optional<CursorValue>> values;
  values.reserve(static_cast<std::size_t>(n));
  const auto inside = [&](const std::optional<CursorValue>& v) {
    return !v || ((!config_.from || *v >= *config_.from) && (!config_.to || *v <= *config_.to));
  };
  // The greatest value first, so that of a growing cursor only the last rows are hashed.
  bool grew = false;
  for (std::int64_t row = 0; row < n; ++row) {
    const auto& v = values.emplace_back(cursor_at(*cursor, row));
    if (v && inside(v) && (!max_ || *v > *max_)) {
      max_ = v;
      grew = true;
    }
  }
  if (grew) {
    seen_bound_.clear();
    bound_count_ = 0;
  }

  Rows out;
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(n), 0);
  const auto& known = config_.known;
  for (std::int64_t row = 0; row < n; ++row) {
    const auto& v = values[static_cast<std::size_t>(row)];
    if (!inside(v)) continue;
    ++out.wanted;
    RowSet& remaining = v ? remaining_bound_ : remaining_null_;
    const bool may_be_known = !remaining.empty() && (!v || (known.cursor && *v == *known.cursor));
    const std::string hash = may_be_known ? row_hash(*batch, row, known.seen_columns) : "";
    if (may_be_known && take_known(hash, remaining)) {
      ++out.deduplicated;
    } else {
      keep[static_cast<std::size_t>(row)] = 1;
    }
    if (!v) {
      TG_CHECK(note(*batch, row, seen_null_, null_count_, hash));
    } else if (*v == *max_) {
      TG_CHECK(note(*batch, row, seen_bound_, bound_count_, hash));
    }
  }
  if (out.wanted == n && out.deduplicated == 0) {
    out.batch = batch;
    return out;
  }
  TG_TRY(out.batch, keep_rows(batch, keep));
  return out;
}

Status BoundFilter::save(EntityState& state) const {
  const EntityState& known = config_.known;
  state.cursor = max_;
  state.seen_columns = columns_.empty() ? known.seen_columns : columns_;
  const bool same_columns = state.seen_columns == known.seen_columns;
  const bool same_bound = max_ && known.cursor && *max_ == *known.cursor;
  // Hashes over other columns cannot be compared with the new ones; the rows they stand for were
  // read again in this run and are in the new sets.
  state.seen_at_bound =
      same_bound && same_columns ? unite(known.seen_at_bound, seen_bound_) : seen_bound_;
  state.seen_null = same_columns ? unite(known.seen_null, seen_null_) : seen_null_;
  for (RowSet* set : {&state.seen_at_bound, &state.seen_null}) {
    if (total(*set) <= kMaxSeen) continue;
    if (!config_.has_key) return too_many("share the cursor's bound");
    set->clear();
  }
  if (bound_count_ > kMaxSeen) state.seen_at_bound.clear();
  if (null_count_ > kMaxSeen) state.seen_null.clear();
  return {};
}

}  // namespace tidegate::engine
