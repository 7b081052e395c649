#include "engine/connectors/mysql/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <mysqld_error.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "engine/core/locator.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine::mysql {
namespace {

constexpr const char* kStage = "`_tidegate_stage`";
constexpr const char* kGone = "`_tidegate_gone`";
constexpr std::size_t kRowShown = 4096;  // bytes

// Of the user's own: constraints, triggers that refuse, values that a column of theirs cannot hold.
bool is_of_a_row(int error) {
  static constexpr int kErrors[] = {ER_BAD_NULL_ERROR,
                                    ER_DUP_ENTRY,
                                    ER_DUP_ENTRY_WITH_KEY_NAME,
                                    ER_DATA_TOO_LONG,
                                    ER_WARN_DATA_OUT_OF_RANGE,
                                    WARN_DATA_TRUNCATED,
                                    ER_TRUNCATED_WRONG_VALUE,
                                    ER_TRUNCATED_WRONG_VALUE_FOR_FIELD,
                                    ER_NO_DEFAULT_FOR_FIELD,
                                    ER_NO_REFERENCED_ROW,
                                    ER_NO_REFERENCED_ROW_2,
                                    ER_ROW_IS_REFERENCED,
                                    ER_ROW_IS_REFERENCED_2,
                                    ER_SIGNAL_EXCEPTION,
                                    ER_DATA_OUT_OF_RANGE,
                                    ER_NO_PARTITION_FOR_GIVEN_VALUE,
                                    ER_CONSTRAINT_FAILED,
                                    3140,   // ER_INVALID_JSON_TEXT of MySQL
                                    3819};  // ER_CHECK_CONSTRAINT_VIOLATED of MySQL
  return std::ranges::find(kErrors, error) != std::end(kErrors);
}

// What a person looks for it by; the whole of it may be longer than a statement.
std::string shown(const boost::json::object& row) {
  return std::string(clip(json::write(row), kRowShown));
}

}  // namespace

Result<RowEncoder> encoder_of(const Connection& db, const arrow::Schema& schema,
                              const LayoutChange& change) {
  constexpr std::int64_t kAround = 64 << 10;  // what else stands in a statement
  arrow::FieldVector written;
  for (const int i : change.fields) written.push_back(schema.field(i));
  TG_TRY(RowEncoder encoder,
         RowEncoder::make(*arrow::schema(std::move(written)), change.staged,
                          db.max_packet() - static_cast<std::int64_t>(db.piece_size()) - kAround));
  for (std::size_t i = 0; i < change.written.size(); ++i) {
    if (change.written[i].fills_null) encoder.refuse_null(i);
  }
  return encoder;
}

Result<std::shared_ptr<arrow::RecordBatch>> written_columns(const arrow::RecordBatch& batch,
                                                            const std::vector<int>& fields) {
  auto selected = batch.SelectColumns(fields);
  if (!selected.ok()) return fail(from_arrow(selected.status(), "choosing columns"));
  return *selected;
}

Result<std::vector<std::string>> MysqlWriter::do_begin(const LoadPlan& load) {
  load_ = load;
  TG_TRY(const TableLayout now, read_layout(db_, table_));
  TG_TRY(change_, plan_layout(table_, now, load_));
  TG_TRY(encoder_, encoder_of(db_, *load_.schema, change_));
  TG_CHECK(create_stage());
  return change_.sentences;
}

Status MysqlWriter::check_claim() const {
  TG_TRY(const auto other, reconnect_());
  TG_TRY(const auto stored, Ledger(*other).read(claim_.job, claim_.entity));
  // Without a row it is another database by now, and nobody's.
  if (!stored || (stored->fence == claim_.fence && stored->session == claim_.session)) return {};
  return fail(fenced(claim_));
}

// ---- rows into the stage

Status MysqlWriter::create_stage() {
  for (const char* table : {kStage, kGone})
    TG_CHECK(db_.exec(fmt::format("DROP TEMPORARY TABLE IF EXISTS {}", table)));
  std::string columns;
  for (std::size_t i = 0; i < change_.staged.size(); ++i) {
    TargetType type = change_.staged[i];
    // What is no JSON is found by the table, and told of its row.
    if (type.kind == Target::Json) type.kind = Target::Text;
    columns += ", " + definition(db_, fmt::format("c{}", i), type);
  }
  Status made =
      db_.exec(fmt::format("CREATE TEMPORARY TABLE {} (seq bigint NOT NULL PRIMARY KEY{}) "
                           "ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 "
                           "COLLATE {}",
                           kStage, columns, db_.exact_collation()));
  // MySQL does not say which one is missing.
  if (!made && made.error().code == Code::Forbidden)
    made.error().message += ": CREATE TEMPORARY TABLES on the database";
  TG_CHECK(made);
  staged_ = true;
  return {};
}

Result<std::vector<RejectedRow>> MysqlWriter::do_write(const arrow::RecordBatch& batch) {
  if (!staged_) TG_CHECK(create_stage());
  TG_TRY(const auto rows, written_columns(batch, change_.fields));
  const bool load = db_.can_load();
  const auto encoded =
      encoder_->put(*rows, load ? RowFormat::Load : RowFormat::Insert, next_, db_.piece_size());
  std::string columns = "seq";
  for (std::size_t i = 0; i < change_.staged.size(); ++i) columns += fmt::format(", c{}", i);
  std::int64_t taken = 0;
  for (const std::string& piece : encoded.pieces) {
    if (load) {
      TG_TRY(const std::int64_t n,
             db_.load(fmt::format("LOAD DATA LOCAL INFILE '' INTO TABLE {} {} ({})", kStage,
                                  kLoadFormat, columns),
                      piece));
      taken += n;
    } else {
      TG_TRY(const Rows done,
             db_.query(fmt::format("INSERT INTO {} ({}) VALUES {}", kStage, columns, piece)));
      taken += done.changed();
    }
  }
  if (taken != encoded.rows) {
    return fail(Code::Internal,
                fmt::format("MySQL took {} of {} rows; this is a defect", taken, encoded.rows));
  }
  next_ += encoded.rows;
  std::vector<RejectedRow> out;
  for (const auto& r : encoded.refused) {
    out.push_back(
        {key_locator(plan_.entity, load_.key, batch, r.row), r.why, shown(row_json(batch, r.row))});
  }
  refused_ += static_cast<std::int64_t>(out.size());
  return out;
}

Status MysqlWriter::reject(std::span<const RejectedRow> rows) {
  if (in_transaction_) return ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows);
  rejected_.insert(rejected_.end(), rows.begin(), rows.end());
  return {};
}

// ---- from the stage into the table

std::string MysqlWriter::staged_name(std::string_view column) const {
  for (std::size_t i = 0; i < change_.fields.size(); ++i) {
    if (load_.schema->field(change_.fields[i])->name() == column) return fmt::format("c{}", i);
  }
  return {};
}

// Of two rows of one key in one load the one with the greater cursor stays, else the later. MySQL
// opens a temporary table once in a statement, so those that go are listed first.
Result<std::int64_t> MysqlWriter::drop_superseded() {
  std::string key, order;
  for (const auto& name : load_.key) key += (key.empty() ? "" : ", ") + staged_name(name);
  // NULLs come last.
  if (load_.cursor && !staged_name(*load_.cursor).empty())
    order = staged_name(*load_.cursor) + " DESC, ";
  TG_CHECK(db_.exec(fmt::format("DROP TEMPORARY TABLE IF EXISTS {}", kGone)));
  TG_CHECK(db_.exec(fmt::format(
      "CREATE TEMPORARY TABLE {} (seq bigint NOT NULL PRIMARY KEY) ENGINE = InnoDB", kGone)));
  TG_CHECK(
      db_.exec(fmt::format("INSERT INTO {} SELECT seq FROM (SELECT seq, row_number() OVER "
                           "(PARTITION BY {} ORDER BY {}seq DESC) AS place FROM {}) p WHERE "
                           "place > 1",
                           kGone, key, order, kStage)));
  TG_TRY(const Rows gone,
         db_.query(fmt::format("DELETE s FROM {} s JOIN {} g ON g.seq = s.seq", kStage, kGone)));
  TG_CHECK(db_.exec(fmt::format("DROP TEMPORARY TABLE {}", kGone)));
  return gone.changed();
}

Status MysqlWriter::in_transaction(const std::function<Status()>& steps) {
  TG_CHECK(db_.exec("START TRANSACTION"));
  in_transaction_ = true;
  TG_CHECK(ledger_.lock_fence(claim_));
  TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
  TG_CHECK(ledger_.own_table(claim_, plan_.take_over));
  return steps();
}

// Under the fence, and owned, before anything of it is changed.
Status MysqlWriter::change_table() {
  TG_TRY(const TableLayout now, read_layout(db_, table_));
  TG_TRY(const LayoutChange change, plan_layout(table_, now, load_));
  if (!change.changes_table() && !change.key_last) return {};
  const bool makes_key = (change.create && !change.key.empty()) || change.add_primary_key;
  const auto key = makes_key ? change.key : std::vector<std::string>();
  const auto note = [&](const std::vector<std::vector<std::string>>& keys) -> Status {
    TG_CHECK(in_transaction([&]() -> Status {
      if (makes_key || change.drop_primary_key) TG_CHECK(ledger_.note_keys(claim_, keys));
      return db_.exec("COMMIT");
    }));
    in_transaction_ = false;
    return {};
  };
  if (!change.drop_primary_key) {
    TG_CHECK(note({key}));
    return apply_layout(db_, table_, now, change);
  }
  TG_CHECK(note({key, now.primary_key}));
  TG_CHECK(apply_layout(db_, table_, now, change));
  return note({key});
}

Status MysqlWriter::start_transaction() {
  TG_CHECK(change_table());
  return in_transaction([&]() -> Status {
    // It may have changed since: what is decided by what it is, is decided where rows are locked.
    TG_TRY(const TableLayout now, read_layout(db_, table_));
    TG_TRY(LayoutChange change, plan_layout(table_, now, load_));
    if (change.changes_table() || change.fields != change_.fields ||
        change.staged != change_.staged) {
      return fail(Code::Unavailable, fmt::format("the table \"{}\" was changed by somebody else "
                                                 "while it was being loaded",
                                                 table_));
    }
    change_ = std::move(change);
    key_is_due_ = change_.key_last;
    deleted_ = 0;
    if (load_.kind == LoadKind::Replace) {
      TG_TRY(const Rows gone, db_.query("DELETE FROM " + db_.identifier(table_)));
      deleted_ = gone.changed();
      TG_CHECK(ledger_.forget_rejected(claim_));
    }
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rejected_));
    rejected_.clear();
    return {};
  });
}

std::string MysqlWriter::same_key() const {
  std::string same;
  for (const auto& name : load_.key) {
    same += fmt::format("{}t.{} = s.{}", same.empty() ? "" : " AND ", db_.identifier(name),
                        staged_name(name));
  }
  return same;
}

// Not ON DUPLICATE KEY UPDATE: that replaces the row that any unique index meets, also one of
// another key.
std::string MysqlWriter::update_sql(std::int64_t begin, std::int64_t end) const {
  std::string set;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const std::string& name = change_.written[i].name;
    const std::string& field = load_.schema->field(change_.fields[i])->name();
    if (!std::ranges::count(load_.key, field))
      set += fmt::format("{}t.{} = s.c{}", set.empty() ? "" : ", ", db_.identifier(name), i);
  }
  // A key that is the whole row is met all the same, and counted.
  if (set.empty()) set = fmt::format("t.{0} = t.{0}", db_.identifier(load_.key.front()));
  return fmt::format("UPDATE {} t JOIN {} s ON {} SET {} WHERE s.seq >= {} AND s.seq < {}",
                     db_.identifier(table_), kStage, same_key(), set, begin, end);
}

std::string MysqlWriter::insert_sql(std::int64_t begin, std::int64_t end) const {
  std::string columns, values;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    columns += (i == 0 ? "" : ", ") + db_.identifier(change_.written[i].name);
    values += fmt::format("{}s.c{}", i == 0 ? "" : ", ", i);
  }
  std::string join, missing;
  if (load_.kind == LoadKind::Merge) {
    join = fmt::format(" LEFT JOIN {} t ON {}", db_.identifier(table_), same_key());
    missing = fmt::format(" AND t.{} IS NULL", db_.identifier(load_.key.front()));
  }
  return fmt::format("INSERT INTO {} ({}) SELECT {} FROM {} s{} WHERE s.seq >= {} AND s.seq < {}{}",
                     db_.identifier(table_), columns, values, kStage, join, begin, end, missing);
}

// Staged rows with a number in [begin, end), of which there are `rows`: all of them or none. "":
// they were taken; else why not.
Result<std::string> MysqlWriter::put(std::int64_t begin, std::int64_t end, std::int64_t rows,
                                     CommitReport& report) {
  TG_CHECK(db_.exec("SAVEPOINT _tidegate_rows"));
  std::int64_t updated = 0, inserted = 0;
  const auto steps = [&]() -> Status {
    if (load_.kind == LoadKind::Merge) {
      TG_TRY(const Rows met, db_.query(update_sql(begin, end)));
      updated = met.changed();
    }
    TG_TRY(const Rows fresh, db_.query(insert_sql(begin, end)));
    inserted = fresh.changed();
    return {};
  };
  if (const Status done = steps(); !done) {
    const bool of_a_row = db_.error_signalled() || is_of_a_row(db_.error_number());
    if (!db_.is_open() || !of_a_row) return fail(done.error());
    TG_CHECK(db_.exec("ROLLBACK TO SAVEPOINT _tidegate_rows"));
    return done.error().message;
  }
  TG_CHECK(db_.exec("RELEASE SAVEPOINT _tidegate_rows"));
  if (updated + inserted != rows) {
    return fail(data_error(fmt::format(
        "table \"{}\": of {} rows {} were taken; a trigger of the table adds, removes or changes "
        "rows of that key: drop it, or use another mode",
        table_, rows, updated + inserted)));
  }
  report.inserted += inserted;
  report.updated += updated;
  return std::string();
}

Result<std::int64_t> MysqlWriter::staged_rows(std::int64_t begin, std::int64_t end) {
  TG_TRY(const Rows counted,
         db_.query(fmt::format("SELECT count(*) FROM {} WHERE seq >= {} AND seq < {}", kStage,
                               begin, end)));
  return counted.integer(0, 0);
}

// As put(); rows that are refused are found by halving.
Status MysqlWriter::place_range(std::int64_t begin, std::int64_t end, std::int64_t rows,
                                CommitReport& report) {
  if (rows == 0) return {};
  TG_TRY(std::string why, put(begin, end, rows, report));
  if (why.empty()) return {};
  if (static_cast<std::int64_t>(report.refused.size()) > load_.max_rejected) return {};
  if (end - begin > 1) {
    const std::int64_t middle = begin + (end - begin) / 2;
    TG_TRY(const std::int64_t first, staged_rows(begin, middle));
    TG_CHECK(place_range(begin, middle, first, report));
    return place_range(middle, end, rows - first, report);
  }
  TG_TRY(const boost::json::object row, staged_row(begin));
  report.refused.push_back({key_locator(plan_.entity, load_.key, row), std::move(why), shown(row)});
  return {};
}

Result<boost::json::object> MysqlWriter::staged_row(std::int64_t seq) {
  TG_TRY(const Rows rows, db_.query(fmt::format("SELECT * FROM {} WHERE seq = {}", kStage, seq)));
  boost::json::object row;
  for (std::size_t i = 0; rows.size() > 0 && i < change_.written.size(); ++i) {
    const int column = static_cast<int>(i) + 1;
    auto& value = row[change_.written[i].name];
    if (!rows.null(0, column)) value = protocol::to_utf8(rows.text(0, column));
  }
  return row;
}

Result<CommitReport> MysqlWriter::do_flush() {
  CommitReport report;
  report.rejected = refused_;
  if (!staged_) TG_CHECK(create_stage());
  if (!load_.key.empty()) {
    TG_TRY(report.superseded, drop_superseded());
  }
  TG_TRY(const std::int64_t rows, staged_rows(0, next_));
  TG_CHECK(start_transaction());
  report.deleted = deleted_;
  TG_CHECK(place_range(0, next_, rows, report));
  report.rejected += static_cast<std::int64_t>(report.refused.size());
  if (load_.kind == LoadKind::Replace) TG_CHECK(check_whole(report.inserted));
  return report;
}

// Triggers of the user's may keep old rows, or add some.
Status MysqlWriter::check_whole(std::int64_t rows) {
  TG_TRY(const Rows found, db_.query("SELECT count(*) FROM " + db_.identifier(table_)));
  if (found.integer(0, 0) == rows) return {};
  return fail(data_error(fmt::format(
      "table \"{}\": it would hold {} rows after a full load of {}; a trigger of the table, or "
      "somebody who writes to it, keeps or adds rows: drop it, or use another mode",
      table_, found.integer(0, 0), rows)));
}

Status MysqlWriter::do_commit(const std::optional<NewState>& state) {
  if (state) TG_CHECK(ledger_.store(claim_, *state));
  TG_CHECK(db_.exec("COMMIT"));
  in_transaction_ = false;
  if (state) {
    state_.state = state->state;
    state_.epoch = state->epoch;
    ++state_.sequence;
  }
  // Emptied with the next rows: what fails behind the commit must not make a failure of it.
  staged_ = false;
  next_ = refused_ = 0;
  return {};
}

void MysqlWriter::undo() {
  if (!db_.is_open()) return;
  if (std::exchange(in_transaction_, false)) (void)db_.exec("ROLLBACK");
  for (const char* table : {kStage, kGone})
    (void)db_.exec(fmt::format("DROP TEMPORARY TABLE IF EXISTS {}", table));
}

Status MysqlWriter::finish() {
  undo();
  if (std::exchange(key_is_due_, false)) TG_CHECK(add_key(db_, table_, change_));
  return ledger_.release(claim_);
}

Status MysqlWriter::abort(std::span<const RejectedRow> keep) {
  undo();
  // With its connection the session is gone too, and nobody has to end it.
  if (!db_.is_open()) return {};
  if (keep.empty()) return ledger_.release(claim_);
  TG_CHECK(db_.exec("START TRANSACTION"));
  in_transaction_ = true;
  const Status kept = [&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, keep));
    TG_CHECK(ledger_.release(claim_));
    return db_.exec("COMMIT");
  }();
  if (kept) in_transaction_ = false;
  undo();
  return kept;
}

}  // namespace tidegate::engine::mysql
