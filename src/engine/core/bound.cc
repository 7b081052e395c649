#include "engine/core/bound.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/core/context.h"
#include "engine/core/rows.h"
#include "engine/core/text_order.h"

namespace tidegate::engine {
namespace {

constexpr std::size_t kShownCursor = 60;  // bytes

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

std::vector<std::string> names_in(const SeenColumns& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const auto& [name, kind] : columns) names.push_back(name);
  return names;
}

// Of its own, which is not that of its letters.
bool has_order(const std::optional<CursorValue>& v) {
  return v && v->kind() == CursorKind::Text && may_be_followed_out_of_order(v->as_text());
}

}  // namespace

BoundFilter::BoundFilter(Config config)
    : config_(std::move(config)),
      known_names_(names_in(config_.known.seen_columns)),
      remaining_bound_(config_.known.seen_at_bound),
      remaining_null_(config_.known.seen_null),
      max_(config_.known.cursor),
      max_has_order_(has_order(max_)) {}

Status BoundFilter::too_many(std::string_view what) const {
  return fail(
      Code::Invalid,
      fmt::format(
          "entity \"{}\": more than {} rows {}, and without a primary key each must be "
          "remembered to be read once. Give entities[\"{}\"].primaryKey (--key) and the mode "
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

void BoundFilter::look_at(const arrow::Schema& schema) {
  for (const auto& field : schema.fields()) columns_[field->name()] = hash_kind(*field);
  names_ = names_in(columns_);
  same_names_ = names_ == known_names_;
  for (const auto& [name, kind] : config_.known.seen_columns) {
    if (kind.empty()) continue;  // no seen row has a value there
    const auto now = columns_.find(name);
    if (now == columns_.end()) {
      gone_.push_back(name);
    } else if (!hash_equally(kind, now->second)) {
      changed_.push_back(name);
    }
  }
}

// A row that was merged without a column must still get its value there.
bool BoundFilter::may_be_known(const std::optional<CursorValue>& v) const {
  if (config_.has_key && !same_names_) return false;
  if (!v) return !remaining_null_.empty();
  return !remaining_bound_.empty() && config_.known.cursor && *v == *config_.known.cursor;
}

bool BoundFilter::comparable(const arrow::RecordBatch& batch, std::int64_t row) const {
  return gone_.empty() && std::ranges::all_of(changed_, [&](const auto& name) {
           return batch.GetColumnByName(name)->IsNull(row);
         });
}

std::unexpected<Error> BoundFilter::not_comparable(const std::optional<CursorValue>& at) const {
  const std::string& name = gone_.empty() ? changed_.front() : gone_.front();
  const std::string what = gone_.empty()
                               ? fmt::format("was {} and is {} now",
                                             config_.known.seen_columns.at(name), columns_.at(name))
                               : "is gone from the source";
  return fail(
      Code::Conflict,
      fmt::format(
          "entity \"{}\": the column \"{}\" {}, so rows with {}, which are read every time, "
          "cannot be told from those that are in the destination already. Reset the job (--reset, "
          "or `tidegate jobs reset`) to read everything again, bring the column back as it was, or "
          "give entities[\"{}\"].primaryKey (--key) and use the mode incremental",
          config_.entity, name, what,
          at ? fmt::format("the cursor value {}", at->to_string()) : "NULL as cursor",
          config_.entity),
      "reset_needed");
}

Status BoundFilter::note(const arrow::RecordBatch& batch, std::int64_t row, bool null,
                         const std::string& known_hash) {
  RowSet& set = null ? seen_.null : seen_.bound;
  RowSet& as_known = null ? seen_as_known_.null : seen_as_known_.bound;
  if (++(null ? null_count_ : bound_count_) > kMaxSeen) {
    if (!config_.has_key) {
      return too_many(null ? "have NULL in the cursor column"
                           : fmt::format("have the cursor value {}", max_->to_string()));
    }
    set.clear();
    as_known.clear();
    return {};
  }
  note_values(batch, row, null);
  ++set[same_names_ && !known_hash.empty() ? known_hash : row_hash(batch, row, names_)];
  if (!same_names_ && !known_names_.empty() && !config_.has_key)
    ++as_known[row_hash(batch, row, known_names_)];
  return {};
}

void BoundFilter::note_values(const arrow::RecordBatch& batch, std::int64_t row, bool null) {
  auto& values = null ? null_values_ : bound_values_;
  if (values.size() == columns_.size()) return;
  for (int c = 0; c < batch.num_columns(); ++c) {
    if (batch.column(c)->IsValid(row)) values.insert(batch.column_name(c));
  }
}

// The state is JSON: the next run could not read it.
Status BoundFilter::can_be_kept() const {
  if (max_->kind() != CursorKind::Text || is_utf8(max_->as_text())) return {};
  return fail(data_error(fmt::format(
      "entity \"{}\": the cursor \"{}\" has a value that is not valid UTF-8, \"{}\", from which no "
      "run could go on; correct the value, or choose another cursor",
      config_.entity, config_.cursor, escape_bytes(clip(max_->as_text(), kShownCursor)))));
}

bool BoundFilter::inside(const std::optional<CursorValue>& v) const {
  return !v || ((!config_.from || *v >= *config_.from) && (!config_.to || *v <= *config_.to));
}

// Rows that the bounds leave out too: they may be what a run before should have read.
Status BoundFilter::check_order(const CursorValue& v) const {
  if (!max_ || v.kind() != CursorKind::Text) return {};
  const std::string& max = max_->as_text();
  const std::string& text = v.as_text();
  if (text < max) {
    if (!max_has_order_ || !follows_out_of_order(text, max)) return {};
    return fail(text_order_error(config_.entity, config_.cursor, text, max));
  }
  if (text == max || !follows_out_of_order(max, text)) return {};
  return fail(text_order_error(config_.entity, config_.cursor, max, text));
}

// The greatest value first, so that of a growing cursor only the last rows are hashed.
Status BoundFilter::take_cursors(const arrow::Array& column) {
  values_.clear();
  values_.reserve(static_cast<std::size_t>(column.length()));
  bool grew = false;
  for (std::int64_t row = 0; row < column.length(); ++row) {
    const auto& v = values_.emplace_back(cursor_at(column, row));
    if (!v) continue;
    TG_CHECK(check_order(*v));
    if (inside(v) && (!max_ || *v > *max_)) {
      max_ = v;
      max_has_order_ = has_order(max_);
      grew = true;
    }
  }
  if (grew) {
    TG_CHECK(can_be_kept());
    seen_.bound.clear();
    seen_as_known_.bound.clear();
    bound_values_.clear();
    bound_count_ = 0;
  }
  return {};
}

Result<BoundFilter::Rows> BoundFilter::apply(const std::shared_ptr<arrow::RecordBatch>& batch) {
  if (columns_.empty()) look_at(*batch->schema());
  const std::int64_t n = batch->num_rows();
  TG_CHECK(take_cursors(*batch->GetColumnByName(config_.cursor)));

  Rows out;
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(n), 0);
  for (std::int64_t row = 0; row < n; ++row) {
    const auto& v = values_[static_cast<std::size_t>(row)];
    if (!inside(v)) continue;
    ++out.wanted;
    const bool maybe = may_be_known(v);
    if (maybe && !config_.has_key && !comparable(*batch, row)) return not_comparable(v);
    const std::string hash = maybe ? row_hash(*batch, row, known_names_) : "";
    if (maybe && take_known(hash, v ? remaining_bound_ : remaining_null_)) {
      ++out.deduplicated;
    } else {
      keep[static_cast<std::size_t>(row)] = 1;
    }
    if (!v || *v == *max_) TG_CHECK(note(*batch, row, !v, hash));
  }
  if (out.wanted == n && out.deduplicated == 0) {
    out.batch = batch;
    return out;
  }
  TG_TRY(out.batch, keep_rows(batch, keep));
  return out;
}

// What the hashes of the state being saved cover, with the kinds of the values in them.
SeenColumns BoundFilter::kinds_of_seen() const {
  SeenColumns out;
  for (const auto& [name, kind] : columns_) {
    out[name] = bound_values_.contains(name) || null_values_.contains(name) ? kind : "";
  }
  return out;
}

// Known rows that did not come again may come back: their hashes stay, and the new ones cover the
// same columns.
void BoundFilter::save_all_known(EntityState& state, bool same_bound) const {
  const EntityState& known = config_.known;
  const Seen& seen = same_names_ ? seen_ : seen_as_known_;
  state.seen_at_bound = same_bound ? unite(known.seen_at_bound, seen.bound) : seen.bound;
  state.seen_null = unite(known.seen_null, seen.null);
  state.seen_columns = known.seen_columns;
  for (const auto& [name, kind] : kinds_of_seen()) {
    const auto it = state.seen_columns.find(name);
    if (it != state.seen_columns.end()) it->second = join_kinds(it->second, kind);
  }
}

Status BoundFilter::save(EntityState& state) const {
  const EntityState& known = config_.known;
  state.cursor = max_;
  const bool same_bound = max_ == known.cursor;
  const bool missed = (same_bound && !remaining_bound_.empty()) || !remaining_null_.empty();
  if (missed && !config_.has_key) {
    save_all_known(state, same_bound);
  } else {
    state.seen_at_bound = seen_.bound;
    state.seen_null = seen_.null;
    state.seen_columns = kinds_of_seen();
  }
  // Of merged rows not all that are in the destination need to be known: rows without a cursor come
  // again whatever the cursor is, so this stays until the state is reset.
  state.seen_dropped = config_.has_key && (missed || known.seen_dropped);
  for (const auto& [set, read] :
       {std::pair{&state.seen_at_bound, bound_count_}, std::pair{&state.seen_null, null_count_}}) {
    if (read <= kMaxSeen && total(*set) <= kMaxSeen) continue;
    if (!config_.has_key) return too_many("share the cursor's bound");
    set->clear();
    state.seen_dropped = true;
  }
  return {};
}

}  // namespace tidegate::engine
