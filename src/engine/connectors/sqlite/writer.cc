#include "engine/connectors/sqlite/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/json.h"
#include "engine/connectors/sqlite/cells.h"
#include "engine/connectors/sqlite/table_sql.h"
#include "engine/core/context.h"
#include "engine/core/cursor.h"
#include "engine/core/locator.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr auto kLockPatience = std::chrono::seconds(30);
constexpr const char* kStage = "temp._tidegate_stage";
constexpr const char* kRejected = "temp._tidegate_stage_rejected";  // until the transaction
constexpr std::size_t kRejectedAtOnce = 1000;

std::string columns_of(const std::vector<TableColumn>& columns, std::string_view prefix = "") {
  std::string out;
  for (const auto& c : columns)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", prefix, quote(c.name));
  return out;
}

std::string names_of(const std::vector<std::string>& names, std::string_view prefix = "") {
  std::string out;
  for (const auto& n : names)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", prefix, quote(n));
  return out;
}

// What meets its key is counted, also where it is left as it is: when the key is the whole row, or
// the condition does not hold.
std::string upsert(const std::vector<TableColumn>& columns, const std::vector<std::string>& key,
                   const std::string& condition) {
  const std::string set = assignments(columns, key);
  const std::string same = fmt::format("{0} = {0}", quote(key.front()));
  return fmt::format(" ON CONFLICT ({}) DO UPDATE SET {} WHERE tidegate_met({})", names_of(key),
                     set.empty() ? same : set, set.empty() ? "0" : condition);
}

constexpr const char* kLeftOut =
    "a trigger of the table left the row out without an error, RAISE(IGNORE); change the trigger, "
    "or accept such rows (maxRejected)";

}  // namespace

Status begin_write(Db& db, const Context& context) {
  const auto give_up = std::chrono::steady_clock::now() + kLockPatience;
  for (bool told = false;;) {
    Status status = db.exec("BEGIN IMMEDIATE");
    // A disk that is full is no lock to wait for.
    const int rc = sqlite3_errcode(db.raw()) & 0xFF;
    if (status || (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)) return status;
    if (context.stop.stop_requested()) return fail(Code::Cancelled, "the run was stopped");
    if (std::chrono::steady_clock::now() >= give_up) return status;
    if (std::exchange(told, true)) continue;
    context.log(LogLevel::Warn, fmt::format("'{}' is locked by another program; waiting up to {} s",
                                            db.path(), kLockPatience.count()));
  }
}

Result<std::vector<std::string>> SqliteWriter::begin(const LoadPlan& load) {
  load_ = load;
  if (merging()) {
    TG_TRY(TableLayout now, read_layout(db_, state_.table));
    TG_CHECK(find_unused(db_, state_.table, load_, now));
    TG_TRY(change_, plan_layout(state_.table, now, load_));
    TG_CHECK(create_stage());
  } else {
    TG_CHECK(start_transaction());
  }
  arrow::FieldVector fields;
  std::vector<ColumnType> targets;
  for (std::size_t i = 0; i < change_.fields.size(); ++i) {
    fields.push_back(load_.schema->field(change_.fields[i]));
    targets.push_back(change_.written[i].type);
  }
  TG_TRY(batch_table_, BatchTable::create(db_, *arrow::schema(fields), targets));
  TG_CHECK(count_met(db_, &met_));
  TG_CHECK(prepare_insert());
  return change_.sentences;
}

Status SqliteWriter::start_transaction() {
  TG_CHECK(db_.grow_to_committed());
  TG_CHECK(begin_write(db_, context_));
  TG_CHECK(ledger_.lock_fence(claim_, context_.clock));
  TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
  TG_CHECK(ledger_.own_table(claim_, context_.clock));
  TG_TRY(TableLayout now, read_layout(db_, state_.table));
  TG_CHECK(find_unused(db_, state_.table, load_, now));
  TG_TRY(change_, plan_layout(state_.table, now, load_));
  triggers_ = now.triggers;
  // The table's own clauses leave rows out, or remove others, without an error. Ours overrides
  // theirs, and those of a trigger's statements too, so it is not there without need.
  verb_ = now.conflict_clauses ? "INSERT OR ABORT" : "INSERT";
  // The rows go first, so that a rebuild of the table does not carry them along.
  if (load_.kind == LoadKind::Replace && now.exists) {
    TG_CHECK(db_.exec(fmt::format("DELETE FROM {}", quote(state_.table))));
    deleted_ = db_.changes();
  }
  if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
  return apply_layout(db_, state_.table, change_);
}

Status SqliteWriter::create_stage() {
  for (const char* table : {kStage, kRejected})
    TG_CHECK(db_.exec(fmt::format("DROP TABLE IF EXISTS {}", table)));
  std::string sql = fmt::format("CREATE TABLE {} (_tidegate_seq INTEGER PRIMARY KEY", kStage);
  for (const auto& c : change_.written) sql += fmt::format(", {} {}", quote(c.name), c.declared);
  TG_CHECK(db_.exec(sql + ")"));
  return db_.exec(fmt::format("CREATE TABLE {} (locator TEXT, reason TEXT, row TEXT)", kRejected));
}

// Not with the commit: what fails after it must not make a failure of it.
Status SqliteWriter::clear_stage() {
  if (!stage_used_) return {};
  for (const char* table : {kStage, kRejected})
    TG_CHECK(in_stage(db_.exec(fmt::format("DELETE FROM {}", table))));
  stage_used_ = false;
  return {};
}

// The stage is a temporary file, which SQLite does not tell from the database when it is full.
Status SqliteWriter::in_stage(Status status) const {
  if (status || (sqlite3_errcode(db_.raw()) & 0xFF) != SQLITE_FULL) return status;
  return fail(Code::Unavailable,
              "the folder of temporary files is full, in which a merge collects its rows; free "
              "some space there, or name a larger folder (environment variable TMPDIR)");
}

// In what a load compares, a number may be kept as text.
std::string SqliteWriter::cursor_collation() const {
  const auto field = load_.schema->GetFieldByName(*load_.cursor);
  const auto kind = field == nullptr ? std::nullopt : cursor_kind(*field->type());
  const bool number = kind == CursorKind::Integer || kind == CursorKind::Real ||
                      kind == CursorKind::Decimal ||
                      (field != nullptr && (field->type()->id() == arrow::Type::UINT64 ||
                                            field->type()->id() == arrow::Type::DECIMAL256));
  return number ? "COLLATE tidegate_number" : "COLLATE BINARY";
}

// Of two rows of one key in one load the one with the greater cursor stays, else the later ("").
std::string SqliteWriter::keep_greater_cursor() const {
  if (!load_.cursor) return "";
  const bool written = std::ranges::any_of(
      change_.written, [&](const auto& c) { return same_name(c.name, *load_.cursor); });
  if (!written) return "";
  const std::string cursor = quote(*load_.cursor);
  return fmt::format("{1}.{0} IS NULL OR excluded.{0} >= {1}.{0} {2}", cursor, quote(state_.table),
                     cursor_collation());
}

Status SqliteWriter::prepare_insert() {
  std::string values;
  for (std::size_t i = 0; i < change_.written.size(); ++i)
    values += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
  const std::string target = merging() ? fmt::format("INSERT INTO {}", kStage)
                                       : fmt::format("{} INTO main.{}", verb_, quote(state_.table));
  std::string sql = fmt::format("{} ({}) SELECT {} FROM _tidegate_batch", target,
                                columns_of(change_.written), values);
  if (load_.kind == LoadKind::Replace && !load_.key.empty()) {
    // `WHERE true` keeps the parser from reading ON as a join (lang_upsert.html §2.2).
    const std::string condition = keep_greater_cursor();
    sql += " WHERE true" + upsert(change_.written, load_.key, condition.empty() ? "1" : condition);
  }
  TG_TRY(insert_, db_.prepare(sql));
  return {};
}

Result<std::vector<RejectedRow>> SqliteWriter::write(const arrow::RecordBatch& batch) {
  if (!merging() && !db_.in_transaction()) {
    TG_CHECK(start_transaction());  // the one before ended with a checkpoint
  }
  TG_CHECK(clear_stage());
  std::shared_ptr<arrow::RecordBatch> chosen;
  const arrow::RecordBatch* rows = &batch;
  if (static_cast<int>(change_.fields.size()) != batch.num_columns()) {
    auto selected = batch.SelectColumns(change_.fields);
    if (!selected.ok()) return fail(from_arrow(selected.status(), "choosing columns"));
    chosen = *selected;
    rows = chosen.get();
  }
  TG_CHECK(batch_table_->show(*rows));
  std::vector<RejectedRow> rejected;
  std::int64_t begin = 0;
  for (auto& [row, why] : batch_table_->unstorable()) {
    TG_CHECK(insert(begin, row, batch, rejected));
    rejected.push_back({key_locator(plan_.entity, load_.key, batch, row), std::move(why),
                        json::write(row_json(batch, row))});
    begin = row + 1;
  }
  TG_CHECK(insert(begin, batch.num_rows(), batch, rejected));
  refused_ += static_cast<std::int64_t>(rejected.size());
  return rejected;
}

// One statement that writes `rows` rows, all of them or none. "": they were taken; else why not: a
// constraint of the user's own (NOT NULL, CHECK, a trigger) refuses some, or a trigger leaves some
// out, which only the counts tell.
Result<std::string> SqliteWriter::put(Stmt& statement, std::int64_t rows) {
  const bool staging = merging() && !db_.in_transaction();
  const bool guard = triggers_ && !staging;
  if (guard) TG_CHECK(db_.exec("SAVEPOINT _tidegate_rows"));
  met_ = {};
  const Status status = statement.run();
  const bool constraint = (sqlite3_errcode(db_.raw()) & 0xFF) == SQLITE_CONSTRAINT;
  const std::int64_t taken = status ? db_.changes() + met_.left : 0;
  if (!status && (!constraint || (!staging && !db_.in_transaction())))
    return fail(staging ? in_stage(status).error() : status.error());
  if (guard) {
    if (taken != rows) TG_CHECK(db_.exec("ROLLBACK TO _tidegate_rows"));
    TG_CHECK(db_.exec("RELEASE _tidegate_rows"));
  }
  if (!status) return status.error().message;
  if (taken == rows) return std::string();
  if (!guard) return fail(rows_lost(rows, taken));
  return std::string(kLeftOut);
}

Error SqliteWriter::rows_lost(std::int64_t given, std::int64_t there) const {
  return data_error(fmt::format(
      "the table \"{}\" was given {} rows and has {} of them, though SQLite reported no "
      "error: something of its own (a trigger, a conflict clause) adds rows, removes "
      "them or leaves them out. Drop that, or write to another table",
      state_.table, given, there));
}

// Single rows that are refused are found by halving.
Status SqliteWriter::insert(std::int64_t begin, std::int64_t end, const arrow::RecordBatch& batch,
                            std::vector<RejectedRow>& rejected) {
  if (begin >= end) return {};
  batch_table_->show_range(begin, end);
  TG_TRY(std::string why, put(insert_, end - begin));
  if (why.empty()) {
    inserted_ += end - begin - met_.rows;
    superseded_ += met_.rows;
    return {};
  }
  if (end - begin == 1) {
    rejected.push_back({key_locator(plan_.entity, load_.key, batch, begin), std::move(why),
                        json::write(row_json(batch, begin))});
    return {};
  }
  const std::int64_t middle = begin + (end - begin) / 2;
  TG_CHECK(insert(begin, middle, batch, rejected));
  return insert(middle, end, batch, rejected);
}

Status SqliteWriter::reject(std::span<const RejectedRow> rows) {
  if (merging() && !db_.in_transaction()) {
    TG_CHECK(clear_stage());
    TG_TRY(Stmt keep, db_.prepare(fmt::format("INSERT INTO {} VALUES (?1, ?2, ?3)", kRejected)));
    for (const RejectedRow& row : rows) {
      keep.bind(1, row.locator).bind(2, row.reason).bind(3, row.row);
      TG_CHECK(in_stage(keep.run()));
    }
    return {};
  }
  if (!db_.in_transaction()) TG_CHECK(start_transaction());
  return ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows, context_.clock);
}

Result<CommitReport> SqliteWriter::flush() {
  if (merging()) return merge();
  if (!db_.in_transaction()) TG_CHECK(start_transaction());
  CommitReport report;
  report.inserted = inserted_;
  report.deleted = deleted_;
  report.superseded = superseded_;
  report.rejected = refused_;
  if (load_.kind == LoadKind::Replace && (triggers_ || !load_.key.empty())) {
    TG_TRY(const std::int64_t there,
           db_.integer(fmt::format("SELECT count(*) FROM {}", quote(state_.table))));
    if (there != inserted_) return fail(rows_lost(inserted_, there));
  }
  return report;
}

// Staged rows with a number in [begin, end), of which there are `rows`, go into the table. Those
// that are refused are found by halving, as in insert().
Status SqliteWriter::merge_range(std::int64_t begin, std::int64_t end, std::int64_t rows,
                                 CommitReport& report) {
  if (rows == 0) return {};
  const std::string columns = columns_of(change_.written);
  TG_TRY(Stmt statement,
         db_.prepare(fmt::format("{} INTO main.{} ({}) SELECT {} FROM {} WHERE _tidegate_seq >= {} "
                                 "AND _tidegate_seq < {}{}",
                                 verb_, quote(state_.table), columns, columns, kStage, begin, end,
                                 upsert(change_.written, load_.key, "1"))));
  TG_TRY(std::string why, put(statement, rows));
  if (why.empty()) {
    report.inserted += rows - met_.rows;
    report.updated += met_.rows;
    return {};
  }
  if (static_cast<std::int64_t>(report.refused.size()) > load_.max_rejected) return {};
  if (end - begin > 1) {
    const std::int64_t middle = begin + (end - begin) / 2;
    TG_TRY(const std::int64_t first,
           db_.integer(fmt::format("SELECT count(*) FROM {} WHERE _tidegate_seq >= {} AND "
                                   "_tidegate_seq < {}",
                                   kStage, begin, middle)));
    TG_CHECK(merge_range(begin, middle, first, report));
    return merge_range(middle, end, rows - first, report);
  }
  TG_TRY(const boost::json::object row, staged_row(begin));
  report.refused.push_back(
      {key_locator(plan_.entity, load_.key, row), std::move(why), json::write(row)});
  return {};
}

// As row_json(): what cannot be JSON is text.
Result<boost::json::object> SqliteWriter::staged_row(std::int64_t seq) {
  TG_TRY(Stmt stmt, db_.prepare(fmt::format("SELECT {} FROM {} WHERE _tidegate_seq = {}",
                                            columns_of(change_.written), kStage, seq)));
  TG_CHECK(stmt.step());
  boost::json::object row;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const int column = static_cast<int>(i);
    boost::json::value& value = row[change_.written[i].name];
    switch (sqlite3_column_type(stmt.raw(), column)) {
      case SQLITE_NULL:
        break;
      case SQLITE_INTEGER:
        value = stmt.integer(column);
        break;
      case SQLITE_FLOAT:
        value = sqlite3_column_double(stmt.raw(), column);
        break;
      case SQLITE_BLOB:
        value = cell_words(stmt.raw(), column);
        break;
      default:
        value = protocol::to_utf8(stmt.text(column));
    }
  }
  return row;
}

Status SqliteWriter::move_rejected() {
  TG_TRY(Stmt stmt,
         db_.prepare(fmt::format("SELECT locator, reason, row FROM {} ORDER BY rowid", kRejected)));
  std::vector<RejectedRow> rows;
  for (bool more = true; more;) {
    TG_TRY(more, stmt.step());
    if (more) rows.push_back({stmt.text(0), stmt.text(1), stmt.text(2)});
    if (rows.size() < kRejectedAtOnce && more) continue;
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows, context_.clock));
    rows.clear();
  }
  return {};
}

Result<CommitReport> SqliteWriter::merge() {
  TG_CHECK(clear_stage());
  TG_CHECK(start_transaction());
  TG_CHECK(move_rejected());
  CommitReport report;
  report.rejected = refused_;
  const bool by_cursor = !keep_greater_cursor().empty();
  TG_CHECK(in_stage(db_.exec(fmt::format(
      "DELETE FROM {0} WHERE _tidegate_seq IN (SELECT _tidegate_seq FROM (SELECT _tidegate_seq, "
      "row_number() OVER (PARTITION BY {1} ORDER BY {2}_tidegate_seq DESC) AS place FROM {0}) "
      "WHERE "
      "place > 1)",
      kStage, names_of(load_.key),
      by_cursor ? fmt::format("{} {} DESC, ", quote(*load_.cursor), cursor_collation()) : ""))));
  report.superseded = db_.changes();
  TG_TRY(const std::int64_t last,
         db_.integer(fmt::format("SELECT max(_tidegate_seq) FROM {}", kStage)));
  TG_TRY(const std::int64_t staged, db_.integer(fmt::format("SELECT count(*) FROM {}", kStage)));
  TG_CHECK(merge_range(0, last + 1, staged, report));
  report.rejected += static_cast<std::int64_t>(report.refused.size());
  return report;
}

Status SqliteWriter::commit(const std::optional<NewState>& state) {
  if (state) TG_CHECK(ledger_.store(claim_, *state, context_.clock));
  TG_CHECK(db_.in_place());
  TG_CHECK(db_.exec("COMMIT"));
  TG_CHECK(db_.in_place());
  if (state) {
    state_.state = state->state;
    state_.epoch = state->epoch;
    ++state_.sequence;
  }
  stage_used_ = merging();
  inserted_ = deleted_ = superseded_ = refused_ = 0;
  return {};
}

void SqliteWriter::undo() {
  insert_ = Stmt();
  static_cast<void>(count_met(db_, nullptr));
  batch_table_.reset();
  db_.rollback();
  for (const char* table : {kStage, kRejected}) {
    sqlite3_exec(db_.raw(), fmt::format("DROP TABLE IF EXISTS {}", table).c_str(), nullptr, nullptr,
                 nullptr);
  }
}

Status SqliteWriter::finish() {
  undo();
  return ledger_.release(claim_);
}

Status SqliteWriter::abort(std::span<const RejectedRow> keep) {
  undo();
  db_.truncate_log();
  if (keep.empty()) return ledger_.release(claim_);
  TG_CHECK(begin_write(db_, context_));
  Status status = ledger_.lock_fence(claim_, context_.clock);
  if (status && load_.kind == LoadKind::Replace) status = ledger_.forget_rejected(claim_);
  if (status)
    status = ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, keep, context_.clock);
  if (status) status = ledger_.release(claim_);
  if (status) status = db_.exec("COMMIT");
  if (!status) db_.rollback();
  return status;
}

}  // namespace tidegate::engine::sqlite
