#include "engine/connectors/postgres/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <utility>

#include "base/json.h"
#include "engine/core/cursor.h"
#include "engine/core/locator.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine::postgres {
namespace {

constexpr const char* kStage = "pg_temp._tidegate_stage";

constexpr const char* kLeftOut =
    "a trigger or rule of the table left the row out without an error; change it, or accept such "
    "rows (maxRejected)";

// The staged value as the column has it. A value that the column would bend is an error of its row:
// casts round, cut and drop without a word.
std::string cast_of(const std::string& value, const TargetType& from, const TargetType& to) {
  if (from == to) return value;
  std::string cast = fmt::format("{}::{}", value, to.declared);
  if (holds(to, from)) return cast;
  return fmt::format(
      "CASE WHEN {0} IS NULL OR ({1})::{2} = {0} THEN {1} ELSE (({0}::text || ' does "
      "not fit the column')::integer)::text::{3} END",
      value, cast, from.declared, to.declared);
}

// Of the user's own: constraints, triggers that raise, values that an ignored type cannot hold, or
// an index (54000).
bool is_of_a_row(const std::string& sqlstate) {
  return sqlstate.starts_with("23") || sqlstate.starts_with("22") || sqlstate == "P0001" ||
         sqlstate == "44000" || sqlstate == "54000";
}

}  // namespace

Result<CopyEncoder> encoder_of(const arrow::Schema& schema, const std::vector<int>& fields) {
  arrow::FieldVector written;
  for (const int i : fields) written.push_back(schema.field(i));
  return CopyEncoder::make(*arrow::schema(std::move(written)));
}

Result<std::shared_ptr<arrow::RecordBatch>> written_columns(const arrow::RecordBatch& batch,
                                                            const std::vector<int>& fields) {
  auto selected = batch.SelectColumns(fields);
  if (!selected.ok()) return fail(from_arrow(selected.status(), "choosing columns"));
  return *selected;
}

Result<std::vector<std::string>> PostgresWriter::do_begin(const LoadPlan& load) {
  load_ = load;
  TG_TRY(now_, read_layout(db_, place_));
  TG_TRY(change_, plan_layout(place_, now_, load_));
  TG_TRY(encoder_, encoder_of(*load_.schema, change_.fields));
  TG_CHECK(Replacement::tidy(db_, place_, claim_));
  if (load_.kind != LoadKind::Replace) {
    TG_CHECK(create_stage());
    return change_.sentences;
  }
  TG_TRY(const auto obstacle, Replacement::obstacle(db_, place_, now_, change_));
  if (!obstacle) {
    replacement_.emplace(db_, place_, claim_);
    return change_.sentences;
  }
  context_.log(LogLevel::Info, fmt::format("the table \"{}\" stays and its rows are replaced: {}",
                                           place_.table, *obstacle));
  TG_CHECK(create_stage());
  return change_.sentences;
}

Status PostgresWriter::check_claim() const {
  TG_TRY(const auto other, reconnect_());
  TG_TRY(const auto stored, Ledger(*other, place_.schema).read(claim_.job, claim_.entity));
  // Without a row it is another database by now, and nobody's.
  if (!stored || (stored->fence == claim_.fence && stored->session == claim_.session)) return {};
  return fail(fenced(claim_));
}

Status PostgresWriter::create_stage() {
  TG_CHECK(db_.exec(fmt::format("DROP TABLE IF EXISTS {}", kStage)));
  std::string columns;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    columns += fmt::format(", c{} {}", i, change_.staged[i].declared);
  }
  return db_.exec(fmt::format(
      "CREATE TEMPORARY TABLE _tidegate_stage (seq bigint GENERATED ALWAYS AS IDENTITY{})",
      columns));
}

// ---- rows into the stage

Status PostgresWriter::start_copy() {
  if (copying_) return {};
  if (replacement_) {
    // Here and not before: a source may be slow to begin, and servers end idle transactions.
    staging_ = true;
    TG_CHECK(replacement_->create(now_, change_));
  }
  std::string columns;
  for (std::size_t i = 0; i < change_.written.size(); ++i)
    columns += (i == 0 ? "" : ", ") + staged_name(i);
  TG_CHECK(db_.copy_in(fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary{})", stage(), columns,
                                   replacement_ ? ", FREEZE" : "")));
  copying_ = true;
  return db_.put(CopyEncoder::header());
}

Status PostgresWriter::end_copy() {
  if (!std::exchange(copying_, false)) return {};
  TG_CHECK(db_.put(CopyEncoder::trailer()));
  const auto rows = db_.end_copy();
  if (!rows) return fail(with_row(rows.error()));
  copied_ += *rows;
  return {};
}

// A value that only the server refuses: the row cannot be left out any more, but it can be found.
Error PostgresWriter::with_row(Error error) const {
  const auto& at = db_.refused_at();
  // A row that is too long (54000) is found when those that came with it are, at the last's place.
  if (error.code != Code::Invalid || !at || db_.sqlstate().starts_with("54")) return error;
  std::string column;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const std::string& name = change_.written[i].name;
    if (at->column == (replacement_ ? name : fmt::format("c{}", i)))
      column = fmt::format(", column \"{}\"", name);
  }
  error.message = fmt::format(
      "row {} of those that were loaded{}: {}; correct it in the source, or leave it or its column "
      "out",
      copied_ + at->row, column, error.message);
  return error;
}

Result<std::vector<RejectedRow>> PostgresWriter::do_write(const arrow::RecordBatch& batch) {
  TG_TRY(const auto rows, written_columns(batch, change_.fields));
  bytes_.clear();
  TG_TRY(const auto refused, encoder_->put(*rows, bytes_));
  TG_CHECK(start_copy());
  TG_CHECK(db_.put(bytes_));
  std::vector<RejectedRow> out;
  for (const auto& r : refused) {
    out.push_back({key_locator(plan_.entity, load_.key, batch, r.row), r.why,
                   json::write(row_json(batch, r.row))});
  }
  refused_ += static_cast<std::int64_t>(out.size());
  return out;
}

Status PostgresWriter::reject(std::span<const RejectedRow> rows) {
  if (in_transaction_) return ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows);
  rejected_.insert(rejected_.end(), rows.begin(), rows.end());
  return {};
}

// ---- from the stage into the table

Status PostgresWriter::start_transaction() {
  TG_CHECK(db_.exec("BEGIN"));
  in_transaction_ = true;
  TG_CHECK(ledger_.lock_fence(claim_));
  TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
  TG_CHECK(ledger_.own_table(claim_, plan_.take_over));
  // It may have changed since begin(): what is decided by what it is, is decided under its lock.
  TG_TRY(now_, read_layout(db_, place_));
  TG_TRY(LayoutChange change, plan_layout(place_, now_, load_));
  // A replacement was made after the plan as a whole.
  if (change.fields != change_.fields || change.staged != change_.staged ||
      (replacement_ && change != change_)) {
    return fail(
        Code::Unavailable,
        fmt::format("the table \"{}\" was changed by somebody else while it was being loaded",
                    place_.table));
  }
  change_ = std::move(change);
  deleted_ = 0;
  if (!replacement_) TG_CHECK(prepare_table());
  if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
  TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rejected_));
  rejected_.clear();
  return {};
}

// Of two rows of one key in one load the one with the greater cursor stays, else the later.
std::string PostgresWriter::drop_superseded() const {
  const auto staged = [&](const std::string& name) -> std::string {
    for (std::size_t i = 0; i < change_.written.size(); ++i) {
      if (load_.schema->field(change_.fields[i])->name() == name) return staged_name(i);
    }
    return {};
  };
  std::string key;
  for (const auto& name : load_.key) key += (key.empty() ? "" : ", ") + staged(name);
  std::string order;
  if (load_.cursor) {
    if (const std::string cursor = staged(*load_.cursor); !cursor.empty()) {
      const auto field = load_.schema->GetFieldByName(*load_.cursor);
      const bool text = cursor_kind(*field->type()) == CursorKind::Text;
      order = fmt::format("{}{} DESC NULLS LAST, ", cursor, text ? " COLLATE \"C\"" : "");
    }
  }
  // COPY fills a new table in the order in which rows come.
  return fmt::format(
      "DELETE FROM {0} WHERE {3} IN (SELECT {3} FROM (SELECT {3}, row_number() OVER (PARTITION BY "
      "{1} ORDER BY {2}{3} DESC) AS place FROM {0}) p WHERE place > 1)",
      stage(), key, order, replacement_ ? "ctid" : "seq");
}

std::string PostgresWriter::stage() const { return replacement_ ? replacement_->table() : kStage; }

std::string PostgresWriter::staged_name(std::size_t i) const {
  return replacement_ ? db_.identifier(change_.written[i].name) : fmt::format("c{}", i);
}

std::string PostgresWriter::insert_sql(std::int64_t begin, std::int64_t end) const {
  std::string columns, values, set;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const DestinationColumn& c = change_.written[i];
    const std::string name = db_.identifier(c.name);
    columns += (i == 0 ? "" : ", ") + name;
    values += (i == 0 ? "" : ", ") + cast_of(fmt::format("c{}", i), change_.staged[i], c.type);
    if (!std::ranges::count(load_.key, c.name))
      set += fmt::format("{0}{1} = excluded.{1}", set.empty() ? "" : ", ", name);
  }
  std::string sql = fmt::format(
      "INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} WHERE seq >= "
      "{} AND seq < {}",
      qualified(db_, place_), columns, values, kStage, begin, end);
  if (load_.kind != LoadKind::Merge) return sql;
  const std::string conflict =
      fmt::format(" ON CONFLICT ({}) DO UPDATE SET ", column_list(db_, load_.key));
  // A key that is the whole row is met all the same, and counted.
  if (set.empty()) set = fmt::format("{0} = excluded.{0}", db_.identifier(load_.key.front()));
  // A partitioned table cannot say which rows are new.
  if (now_.partitioned) return sql + conflict + set;
  return fmt::format(
      "WITH put AS ({}{}{} RETURNING t.xmax = 0 AS fresh) SELECT count(*), count(*) FILTER (WHERE "
      "fresh) FROM put",
      sql, conflict, set);
}

// How many staged rows of a range are in the table already, by their key.
Result<std::int64_t> PostgresWriter::known_rows(std::int64_t begin, std::int64_t end) {
  std::string same;
  for (std::size_t i = 0; i < change_.written.size(); ++i) {
    const DestinationColumn& c = change_.written[i];
    if (!std::ranges::count(load_.key, c.name)) continue;
    same += fmt::format("{}t.{} = {}", same.empty() ? "" : " AND ", db_.identifier(c.name),
                        cast_of(fmt::format("s.c{}", i), change_.staged[i], c.type));
  }
  TG_TRY(const Rows found,
         db_.query(fmt::format("SELECT count(*) FROM {} s JOIN {} t ON {} WHERE s.seq >= {} AND "
                               "s.seq < {}",
                               kStage, qualified(db_, place_), same, begin, end)));
  return found.integer(0, 0);
}

// Staged rows with a number in [begin, end), of which there are `rows`: all of them or none. "":
// they were taken; else why not.
Result<std::string> PostgresWriter::put(std::int64_t begin, std::int64_t end, std::int64_t rows,
                                        CommitReport& report) {
  const bool counted = load_.kind == LoadKind::Merge && !now_.partitioned;
  TG_CHECK(db_.exec("SAVEPOINT _tidegate_rows"));
  std::int64_t known = 0;
  if (load_.kind == LoadKind::Merge && now_.partitioned) {
    TG_TRY(known, known_rows(begin, end));
  }
  const auto done = db_.query(insert_sql(begin, end));
  if (!done && (!db_.is_open() || !is_of_a_row(db_.sqlstate()))) return fail(done.error());
  std::int64_t taken = 0, fresh = 0;
  if (done) {
    taken = counted ? done->integer(0, 0) : done->changed();
    fresh = counted ? done->integer(0, 1) : taken - known;
  }
  if (taken != rows) TG_CHECK(db_.exec("ROLLBACK TO SAVEPOINT _tidegate_rows"));
  TG_CHECK(db_.exec("RELEASE SAVEPOINT _tidegate_rows"));
  if (!done) return done.error().message;
  if (taken != rows) return std::string(kLeftOut);
  report.inserted += fresh;
  report.updated += taken - fresh;
  return std::string();
}

// As put(); rows that are refused are found by halving.
Status PostgresWriter::place_range(std::int64_t begin, std::int64_t end, std::int64_t rows,
                                   CommitReport& report) {
  if (rows == 0) return {};
  TG_TRY(std::string why, put(begin, end, rows, report));
  if (why.empty()) return {};
  if (static_cast<std::int64_t>(report.refused.size()) > load_.max_rejected) return {};
  if (end - begin > 1) {
    const std::int64_t middle = begin + (end - begin) / 2;
    TG_TRY(const Rows counted,
           db_.query(fmt::format("SELECT count(*) FROM {} WHERE seq >= {} AND seq < {}", kStage,
                                 begin, middle)));
    const std::int64_t first = counted.integer(0, 0);
    TG_CHECK(place_range(begin, middle, first, report));
    return place_range(middle, end, rows - first, report);
  }
  TG_TRY(const boost::json::object row, staged_row(begin));
  report.refused.push_back(
      {key_locator(plan_.entity, load_.key, row), std::move(why), json::write(row)});
  return {};
}

Result<boost::json::object> PostgresWriter::staged_row(std::int64_t seq) {
  TG_TRY(const Rows rows, db_.query(fmt::format("SELECT * FROM {} WHERE seq = {}", kStage, seq)));
  boost::json::object row;
  for (std::size_t i = 0; rows.size() > 0 && i < change_.written.size(); ++i) {
    const int column = static_cast<int>(i) + 1;
    auto& value = row[change_.written[i].name];
    if (!rows.null(0, column)) value = protocol::to_utf8(rows.text(0, column));
  }
  return row;
}

Result<CommitReport> PostgresWriter::do_flush() {
  CommitReport report;
  report.rejected = refused_;
  if (replacement_) {
    TG_CHECK(flush_replacement(report));
  } else {
    TG_CHECK(flush_rows(report));
  }
  return report;
}

Status PostgresWriter::flush_rows(CommitReport& report) {
  TG_CHECK(end_copy());
  if (!in_transaction_) TG_CHECK(start_transaction());
  if (!load_.key.empty()) {
    TG_TRY(const Rows gone, db_.query(drop_superseded()));
    report.superseded = gone.changed();
  }
  report.deleted = deleted_;
  TG_TRY(const Rows staged,
         db_.query(fmt::format("SELECT count(*), coalesce(max(seq), 0) FROM {}", kStage)));
  TG_CHECK(place_range(0, staged.integer(0, 1) + 1, staged.integer(0, 0), report));
  report.rejected += static_cast<std::int64_t>(report.refused.size());
  return load_.kind == LoadKind::Replace ? check_whole(report.inserted) : Status();
}

// A full load's rows go first: a new key, or type, is none of theirs.
Status PostgresWriter::prepare_table() {
  if (load_.kind == LoadKind::Replace && now_.exists) {
    TG_TRY(const Rows gone,
           db_.query(fmt::format("DELETE FROM {}{}", now_.partitioned ? "" : "ONLY ",
                                 qualified(db_, place_))));
    deleted_ = gone.changed();
  }
  return apply_layout(db_, place_, now_, change_);
}

// Triggers and rules of the user's may keep old rows, or leave out new ones.
Status PostgresWriter::check_whole(std::int64_t rows) {
  TG_TRY(const Rows found,
         db_.query(fmt::format("SELECT count(*) FROM {}{}", now_.partitioned ? "" : "ONLY ",
                               qualified(db_, place_))));
  if (found.integer(0, 0) == rows) return {};
  return fail(data_error(fmt::format(
      "table \"{}\": it would hold {} rows after a full load of {}; a trigger or rule of the table "
      "keeps or adds rows: drop it, or use another mode",
      place_.table, found.integer(0, 0), rows)));
}

Status PostgresWriter::flush_replacement(CommitReport& report) {
  if (!staging_) TG_CHECK(start_copy());  // no row came
  TG_CHECK(end_copy());
  TG_TRY(report.superseded, replacement_->seal(change_, drop_superseded()));
  staging_ = false;
  report.inserted = rows_ = copied_ - report.superseded;
  TG_CHECK(start_transaction());
  if (!now_.exists) return {};
  TG_TRY(const Rows before, db_.query("SELECT count(*) FROM " + qualified(db_, place_)));
  report.deleted = before.integer(0, 0);
  return {};
}

Status PostgresWriter::place_replacement() {
  TG_TRY(const bool placed, replacement_->take_place(now_, change_, context_.stop));
  if (placed) return {};
  context_.log(LogLevel::Info,
               fmt::format("the table \"{}\" stays and its rows are replaced: it was read all the "
                           "time, something hangs on it by now, or rows of one key came twice",
                           place_.table));
  TG_CHECK(prepare_table());
  TG_CHECK(replacement_->copy_rows(change_));
  TG_CHECK(check_whole(rows_));
  return replacement_->drop();
}

Status PostgresWriter::do_commit(const std::optional<NewState>& state) {
  if (state) TG_CHECK(ledger_.store(claim_, *state));
  if (replacement_) {
    TG_CHECK(place_replacement());
  } else {
    TG_CHECK(db_.exec("TRUNCATE pg_temp._tidegate_stage"));
  }
  TG_CHECK(db_.exec("COMMIT"));
  in_transaction_ = false;
  if (state) {
    state_.state = state->state;
    state_.epoch = state->epoch;
    ++state_.sequence;
  }
  copied_ = refused_ = 0;
  return {};
}

void PostgresWriter::undo() {
  if (std::exchange(copying_, false)) db_.give_up_copy();
  const bool staging = std::exchange(staging_, false);
  if ((std::exchange(in_transaction_, false) || staging) && db_.is_open())
    (void)db_.exec("ROLLBACK");
  if (db_.is_open()) (void)db_.exec("DROP TABLE IF EXISTS " + stage());
}

Status PostgresWriter::finish() {
  undo();
  return ledger_.release(claim_);
}

Status PostgresWriter::abort(std::span<const RejectedRow> keep) {
  undo();
  // With its connection the session is gone too, and nobody has to end it.
  if (!db_.is_open()) return {};
  if (keep.empty()) return ledger_.release(claim_);
  TG_CHECK(db_.exec("BEGIN"));
  const Status kept = [&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, keep));
    TG_CHECK(ledger_.release(claim_));
    return db_.exec("COMMIT");
  }();
  if (!kept && db_.is_open()) (void)db_.exec("ROLLBACK");
  return kept;
}

}  // namespace tidegate::engine::postgres
