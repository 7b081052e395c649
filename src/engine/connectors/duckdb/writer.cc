#include "engine/connectors/duckdb/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "engine/core/cursor.h"
#include "engine/core/locator.h"
#include "engine/core/rows.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr const char* kStage = "temp.main._tidegate_stage";
constexpr const char* kLoad = "_tidegate_load";  // the new table, until it takes its place

std::string in_main(std::string_view table) { return "main." + quote(table); }

bool is_cast(const ColumnType& from, const ColumnType& to) { return from.declared != to.declared; }

}  // namespace

// ---- begin

Result<std::vector<std::string>> DuckdbWriter::begin(const LoadPlan& load) {
  load_ = load;
  if (load_.kind == LoadKind::Merge) {
    TG_TRY(now_, read_layout(db_, state_.table));
    TG_TRY(change_, plan_layout(state_.table, now_, load_));
    staged_ = true;
    TG_CHECK(create_stage());
  } else {
    TG_CHECK(start_transaction());
  }
  TG_TRY(values_, Values::make(*load_.schema, change_.fields));
  if (CastCheck::needed(change_)) {
    TG_TRY(auto other, db_.another());
    TG_TRY(casts_, CastCheck::make(std::move(other), change_));
  }
  return change_.sentences;
}

Status DuckdbWriter::start_transaction() {
  TG_CHECK(db_.in_place());
  TG_CHECK(db_.exec("BEGIN TRANSACTION"));
  in_transaction_ = true;
  TG_CHECK(ledger_.lock_fence(claim_, context_.clock));
  TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
  TG_CHECK(ledger_.own_table(claim_, context_.clock));
  TG_TRY(now_, read_layout(db_, state_.table));
  TG_TRY(LayoutChange change, plan_layout(state_.table, now_, load_));
  if (values_ && (change.fields != change_.fields || change.handed != change_.handed ||
                  change.written != change_.written)) {
    return fail(Code::Unavailable,
                fmt::format("the table \"{}\" was changed by somebody else while it was loaded",
                            state_.table));
  }
  change_ = std::move(change);
  TG_CHECK(prepare_rows());
  if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
  TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rejected_, context_.clock));
  rejected_.clear();
  return {};
}

Status DuckdbWriter::prepare_rows() {
  before_ = 0;
  if (now_.exists) {
    TG_TRY(before_, count(in_main(state_.table)));
  }
  if (load_.kind != LoadKind::Replace) return apply_layout(db_, state_.table, change_);
  bool casts = false;
  for (std::size_t i = 0; i < change_.written.size(); ++i)
    casts = casts || is_cast(change_.handed[i], change_.written[i].type);
  // Rows of one key are compared as they came, and a unique index would refuse the second.
  staged_ = !load_.key.empty() && (casts || now_.own_rules);
  swapped_ = now_.exists && !now_.own_rules;
  if (staged_) TG_CHECK(create_stage());
  if (swapped_) return create_table(db_, kLoad, change_.columns);
  if (now_.exists) TG_CHECK(db_.exec("DELETE FROM " + in_main(state_.table)));
  return apply_layout(db_, state_.table, change_);
}

Status DuckdbWriter::create_stage() {
  std::string columns;
  for (std::size_t i = 0; i < change_.handed.size(); ++i) {
    const ColumnType& type = change_.handed[i];
    columns += fmt::format("{}c{} {}", i == 0 ? "" : ", ", i,
                           type.kind == Kind::Json ? "VARCHAR" : type.declared);
  }
  stage_made_ = true;
  return db_.exec(fmt::format("CREATE OR REPLACE TEMP TABLE _tidegate_stage ({})", columns));
}

std::string DuckdbWriter::rows_table() const { return in_main(swapped_ ? kLoad : state_.table); }

std::string DuckdbWriter::column_names() const {
  std::string out;
  for (const auto& c : change_.written) out += (out.empty() ? "" : ", ") + quote(c.name);
  return out;
}

std::string DuckdbWriter::column_values(std::string_view prefix) const {
  std::string out;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    out += (out.empty() ? "" : ", ") +
           cast_of(fmt::format("{}c{}", prefix, i), change_.handed[i], change_.written[i].type);
  }
  return out;
}

// ---- rows

Result<std::vector<RejectedRow>> DuckdbWriter::write(const arrow::RecordBatch& batch) {
  // The transaction, or stage, before it ended with a checkpoint.
  if (load_.kind != LoadKind::Merge && !in_transaction_) TG_CHECK(start_transaction());
  if (staged_ && !stage_made_) TG_CHECK(create_stage());
  TG_TRY(Handed handed, values_->hand(batch));
  TG_CHECK(check_rows(change_, casts_.get(), handed));
  std::vector<RejectedRow> out;
  if (!handed.refused.empty()) {
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(batch.num_rows()), 1);
    for (auto& [row, why] : handed.refused) {
      keep[static_cast<std::size_t>(row)] = 0;
      out.push_back({key_locator(plan_.entity, load_.key, batch, row), std::move(why),
                     json::write(row_json(batch, row))});
    }
    TG_TRY(handed.rows, keep_rows(handed.rows, keep));
  }
  if (!insert_) {
    const std::string sql = staged_
                                ? fmt::format("INSERT INTO {} FROM appended_data", kStage)
                                : fmt::format("INSERT INTO {} ({}) SELECT {} FROM appended_data",
                                              rows_table(), column_names(), column_values());
    TG_TRY(insert_, db_.insert(sql, *values_->schema()));
  }
  if (const Status put = insert_->put(*handed.rows); !put) return fail(about_table(put.error()));
  put_ += handed.rows->num_rows();
  refused_ += static_cast<std::int64_t>(out.size());
  return out;
}

Status DuckdbWriter::reject(std::span<const RejectedRow> rows) {
  if (in_transaction_)
    return ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows, context_.clock);
  rejected_.insert(rejected_.end(), rows.begin(), rows.end());
  return {};
}

// What DuckDB says of a row is said of the whole load: it undoes all of it.
Error DuckdbWriter::about_table(const Error& error) const {
  if (error.code != Code::Invalid || !error.reason.empty()) return error;
  return data_error(
      fmt::format("table \"{}\": it refuses a row of this load, and DuckDB does not say which "
                  "others; correct the row in the source, or drop the table's own rule: {}",
                  state_.table, error.message));
}

Error DuckdbWriter::rows_lost(std::int64_t given, std::int64_t there) const {
  return {Code::Internal,
          fmt::format("table \"{}\": {} rows were handed to DuckDB and {} arrived", state_.table,
                      given, there),
          {},
          {}};
}

Result<std::int64_t> DuckdbWriter::count(const std::string& table) {
  TG_TRY(const Rows rows, db_.query("SELECT count(*) FROM " + table));
  return rows.integer(0, 0);
}

// ---- from the stage into the table

// Of two rows of one key in one load the one with the greater cursor stays, else the later.
Result<std::int64_t> DuckdbWriter::drop_superseded() {
  if (load_.key.empty() || load_.kind == LoadKind::Append) return 0;
  const std::string table = staged_ ? kStage : rows_table();
  const auto stored = [&](const std::string& name) -> std::string {
    for (std::size_t i = 0; i < change_.written.size(); ++i) {
      if (load_.schema->field(change_.fields[i])->name() == name)
        return staged_ ? fmt::format("c{}", i) : quote(change_.written[i].name);
    }
    return {};
  };
  std::string key, order;
  for (const auto& name : load_.key) key += (key.empty() ? "" : ", ") + stored(name);
  if (load_.cursor) {
    if (std::string cursor = stored(*load_.cursor); !cursor.empty()) {
      const auto kind = cursor_kind(*load_.schema->GetFieldByName(*load_.cursor)->type());
      // NaN is no position, and DuckDB puts it last.
      if (kind == CursorKind::Real) cursor = fmt::format("nullif({}, 'NaN')", cursor);
      order = cursor + " DESC NULLS LAST, ";
    }
  }
  TG_TRY(const Rows any,
         db_.query(fmt::format("SELECT EXISTS (SELECT 1 FROM {} GROUP BY {} HAVING count(*) > 1)",
                               table, key)));
  if (!any.flag(0, 0)) return 0;
  TG_TRY(
      const Rows gone,
      db_.query(fmt::format(
          "DELETE FROM {0} WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, row_number() OVER "
          "(PARTITION BY {1} ORDER BY {2}rowid DESC) AS place FROM {0}) WHERE place > 1)",
          table, key, order)));
  return gone.changed();
}

Result<CommitReport> DuckdbWriter::flush() {
  insert_.reset();
  if (!in_transaction_) TG_CHECK(start_transaction());
  CommitReport report;
  report.rejected = refused_;
  TG_TRY(report.superseded, drop_superseded());
  const std::int64_t rows = put_ - report.superseded;
  if (load_.kind == LoadKind::Merge) {
    TG_CHECK(merge(rows, report));
    return report;
  }
  if (staged_) {
    const auto done = db_.query(fmt::format("INSERT INTO {} ({}) SELECT {} FROM {}", rows_table(),
                                            column_names(), column_values(), kStage));
    if (!done) return fail(about_table(done.error()));
  }
  TG_TRY(const std::int64_t there, count(rows_table()));
  const bool replace = load_.kind == LoadKind::Replace;
  report.inserted = replace ? there : there - before_;
  report.deleted = replace ? before_ : 0;
  if (report.inserted != rows) return fail(rows_lost(rows, report.inserted));
  if (swapped_) {
    TG_CHECK(db_.exec("DROP TABLE " + in_main(state_.table)));
    TG_CHECK(
        db_.exec(fmt::format("ALTER TABLE {} RENAME TO {}", in_main(kLoad), quote(state_.table))));
  }
  return report;
}

Status DuckdbWriter::merge(std::int64_t rows, CommitReport& report) {
  if (!stage_made_) return {};  // no row came since the last commit
  TG_TRY(const std::int64_t staged, count(kStage));
  if (staged != rows) return fail(rows_lost(rows, staged));
  std::string same, set;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const TableColumn& c = change_.written[i];
    const std::string value = cast_of(fmt::format("s.c{}", i), change_.handed[i], c.type);
    const std::string& field = load_.schema->field(change_.fields[i])->name();
    if (std::ranges::count(load_.key, field) > 0) {
      // Under a collation of the table's `a` would meet `A`.
      same += fmt::format("{}t.{}{} = {}", same.empty() ? "" : " AND ", quote(c.name),
                          c.type.kind == Kind::Text ? " COLLATE C" : "", value);
    } else {
      set += fmt::format("{}{} = {}", set.empty() ? "" : ", ", quote(c.name), value);
    }
  }
  const auto done = db_.query(fmt::format(
      "MERGE INTO {} AS t USING {} AS s ON ({}) WHEN MATCHED THEN {} WHEN NOT MATCHED THEN INSERT "
      "({}) VALUES ({})",
      in_main(state_.table), kStage, same,
      set.empty() ? "DO NOTHING" : fmt::format("UPDATE SET {}", set), column_names(),
      column_values("s.")));
  if (!done) return fail(about_table(done.error()));
  TG_TRY(const std::int64_t there, count(in_main(state_.table)));
  report.inserted = there - before_;
  report.updated = rows - report.inserted;
  if (set.empty() || done->changed() == rows) return {};
  return fail(data_error(
      fmt::format("table \"{}\": it holds several rows of one key ({}), which a merge cannot tell "
                  "apart; run a full load, or remove all but one of them",
                  state_.table, fmt::join(load_.key, ", "))));
}

// ---- commit

Status DuckdbWriter::commit(const std::optional<NewState>& state) {
  if (state) TG_CHECK(ledger_.store(claim_, *state, context_.clock));
  TG_CHECK(db_.in_place());
  TG_CHECK(db_.commit());
  in_transaction_ = stage_made_ = false;
  put_ = refused_ = 0;
  // Between the look and the commit it may have gone all the same.
  TG_CHECK(db_.in_place());
  if (state) {
    state_.state = state->state;
    state_.epoch = state->epoch;
    ++state_.sequence;
  }
  return {};
}

void DuckdbWriter::undo() {
  // First, because it hands over what it still has.
  insert_.reset();
  if (std::exchange(in_transaction_, false)) db_.rollback();
  stage_made_ = false;
}

Status DuckdbWriter::finish() {
  undo();
  TG_CHECK(db_.exec("DROP TABLE IF EXISTS temp.main._tidegate_stage"));
  return ledger_.release(claim_);
}

Status DuckdbWriter::abort(std::span<const RejectedRow> keep) {
  undo();
  if (keep.empty()) return ledger_.release(claim_);
  TG_CHECK(db_.exec("BEGIN TRANSACTION"));
  in_transaction_ = true;
  const Status kept = [&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_, context_.clock));
    if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, keep, context_.clock));
    TG_CHECK(ledger_.release(claim_));
    return db_.commit();
  }();
  if (kept) in_transaction_ = false;
  undo();
  return kept;
}

}  // namespace tidegate::engine::duckdb
