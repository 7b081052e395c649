#include "engine/connectors/mysql/source.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <mysqld_error.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/connectors/mysql/row_decoder.h"
#include "engine/core/condition.h"
#include "engine/core/rows.h"
#include "engine/core/text_order.h"

namespace tidegate::engine::mysql {
namespace {

// Small enough that a batch stays in the processor's cache between the two threads.
constexpr std::int64_t kBatchRows = 16LL * 1024;
static_assert(kBatchRows <= kMaxBatchRows);
constexpr int kTries = 20;

// Functions tell only of a row that they refuse it.
Error of_reading(const std::string& entity, bool conditional, Error error) {
  if (error.code != Code::Invalid) return error;
  if (conditional) return of_condition(entity, "or a view fails for a row", std::move(error));
  return data_error(
      fmt::format("entity \"{}\" cannot be read: {}; correct the view, or the value that it fails "
                  "for, or leave the entity out",
                  entity, error.message));
}

// Runs while it lives; the connection is used by nobody else meanwhile.
class RowReader final : public Reader {
 public:
  RowReader(Connection& db, const ReadParams& params, std::shared_ptr<arrow::Schema> schema,
            std::vector<std::unique_ptr<Column>> columns, bool ordered)
      : db_(db),
        entity_(params.entity),
        conditional_(!params.where.empty()),
        schema_(schema),
        decoder_(std::move(schema), std::move(columns)),
        ordered_(ordered) {}

  ~RowReader() override {
    if (!done_) db_.close();
  }

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  bool ordered_by_cursor() const override { return ordered_; }

  Result<std::optional<ReadBatch>> next() override {
    if (done_) return std::nullopt;
    while (decoder_.rows() < kBatchRows && decoder_.bytes() < kMaxBatchBytes) {
      const auto row = db_.next_row(values_);
      if (!row) return fail(of_reading(entity_, conditional_, row.error()));
      if (!*row) {
        TG_CHECK(db_.exec("COMMIT"));
        done_ = true;
        break;
      }
      TG_CHECK(decoder_.take(values_));
    }
    if (decoder_.rows() == 0) return std::nullopt;
    const std::int64_t before = std::exchange(rows_, rows_ + decoder_.rows());
    TG_TRY(RowDecoder::Taken taken, decoder_.finish());
    ReadBatch out{.batch = std::move(taken.batch), .bytes = taken.bytes, .rejected = {}};
    if (taken.refused.empty()) return out;
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(out.batch->num_rows()), 1);
    for (auto& refused : taken.refused) {
      keep[static_cast<std::size_t>(refused.row)] = 0;
      out.rejected.push_back({fmt::format("{} row {}", entity_, before + refused.row + 1),
                              std::move(refused.why), std::move(refused.raw)});
    }
    TG_TRY(out.batch, keep_rows(out.batch, keep));
    return out;
  }

 private:
  Connection& db_;
  const std::string entity_;
  const bool conditional_;
  const std::shared_ptr<arrow::Schema> schema_;
  RowDecoder decoder_;
  const bool ordered_;
  std::vector<std::string_view> values_;  // of the current row
  std::int64_t rows_ = 0;
  bool done_ = false;
};

bool has_order(const ColumnType& type) {
  return is_time(type) || is_whole_number(type) || type.kind == Kind::Decimal;
}

// `2026-11-28`; nullopt: MySQL has no such day.
std::optional<std::string> day_text(std::int64_t days) {
  if (days < -719'162 || days > 2'932'896) return std::nullopt;  // the years 1 to 9999
  const std::chrono::year_month_day d{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(days)))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(d.year()),
                     static_cast<unsigned>(d.month()), static_cast<unsigned>(d.day()));
}

// A bound as SQL, a little wider than it is where digits may be cut; the engine applies it exactly.
// nullopt: it cannot be handed down.
std::optional<std::string> bound_sql(const Connection& db, const TableColumn& column,
                                     const CursorValue& v, bool lower) {
  const std::string name = db.identifier(column.name);
  const char* op = lower ? ">=" : "<=";
  switch (v.kind()) {
    case CursorKind::Integer:
    case CursorKind::Decimal:
      return fmt::format("{} {} {}", name, op, v.to_string());
    case CursorKind::Date: {
      const auto day = day_text(v.as_integer());
      if (!day) return std::nullopt;
      return fmt::format("{} {} DATE '{}'", name, op, *day);
    }
    case CursorKind::Timestamp: {
      const auto seconds = static_cast<std::int64_t>(v.as_ns() / 1'000'000'000) + (lower ? -2 : 2);
      const std::int64_t second = (seconds % 86'400 + 86'400) % 86'400;
      const auto day = day_text((seconds - second) / 86'400);
      if (!day) return std::nullopt;
      return fmt::format("{} {} TIMESTAMP '{} {:02}:{:02}:{:02}'", name, op, *day, second / 3600,
                         second / 60 % 60, second % 60);
    }
    case CursorKind::Text:
      // Rows below it that come after it in their own order are for the engine to see and to
      // refuse.
      if (lower && may_be_followed_out_of_order(v.as_text())) return std::nullopt;
      return fmt::format("CAST(CONVERT({} USING utf8mb4) AS BINARY) {} CAST({} AS BINARY)", name,
                         op, db.literal(v.as_text()));
    case CursorKind::Real:
      break;
  }
  return std::nullopt;
}

}  // namespace

Status MysqlSource::connect() {
  if (db_ && db_->is_open()) return {};
  TG_TRY(db_, Connection::open(config_, context_.stop, false));
  return {};
}

Result<std::optional<std::string>> MysqlSource::table_place(const std::string& entity) {
  if (!tables_.contains(entity)) return std::nullopt;
  TG_CHECK(connect());
  return db_->place_of(entity);
}

Result<Catalog> MysqlSource::discover(const Wanted& wanted) {
  TG_CHECK(connect());
  TG_TRY(Found found, read_catalog(*db_, wanted));
  tables_ = std::move(found.tables);
  return std::move(found.catalog);
}

// By itself, too: what closes the parenthesis around it and opens another one is no condition.
Status MysqlSource::check_condition(const std::string& entity, const std::string& where) {
  const auto refuse = [&](const Error& error) {
    Error e = of_condition(entity, "is not one of MySQL", error);
    e.code = Code::Invalid;
    return fail(std::move(e));
  };
  if (where.find_first_not_of(" \t\r\n") == std::string::npos) {
    return refuse({Code::Invalid, "it is empty; leave it out, or give one", {}, {}});
  }
  const std::string select = fmt::format("SELECT 1 FROM {} WHERE ", db_->identifier(entity));
  for (const auto& sql : {select + where, fmt::format("{}(\n{}\n)", select, where)}) {
    if (const Status parsed = db_->parse(sql); !parsed) {
      if (parsed.error().code != Code::Invalid) return parsed;
      return refuse(parsed.error());
    }
  }
  return {};
}

// A table that took another's place behind the snapshot's back asks for a new one.
Status MysqlSource::start(const std::string& sql) {
  TG_CHECK(db_->exec("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
  for (int i = 1;; ++i) {
    TG_CHECK(db_->exec("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"));
    const Status begun = db_->select(sql);
    if (begun) return {};
    const bool changed = db_->error_number() == ER_TABLE_DEF_CHANGED;
    if (db_->is_open()) (void)db_->exec("ROLLBACK");
    if (!changed || !db_->is_open() || i == kTries) return begun;
  }
}

Result<std::unique_ptr<Reader>> MysqlSource::open(const ReadParams& params, const Partition&) {
  TG_CHECK(connect());
  const auto known = tables_.find(params.entity);
  if (known == tables_.end()) {
    return fail(Code::NotFound,
                fmt::format("there is no table \"{}\" in {}", params.entity, config_.place()));
  }
  const auto column_named = [&](const std::string& name) {
    return std::ranges::find(known->second, name, &TableColumn::name);
  };
  std::string list;
  arrow::FieldVector fields;
  std::vector<std::unique_ptr<Column>> columns;
  for (const std::string& name : params.columns) {
    const auto column = column_named(name);
    if (column == known->second.end()) {
      return fail(Code::Invalid,
                  fmt::format("there is no column \"{}\" in \"{}\"", name, params.entity));
    }
    list += (list.empty() ? "" : ", ") + select_expression(db_->identifier(name), column->type);
    fields.push_back(to_field(name, column->type));
    TG_TRY(columns.emplace_back(), Column::make(column->type));
  }
  for (const auto& where : params.where) TG_CHECK(check_condition(params.entity, where));
  std::vector<std::string> conditions;
  // On lines of its own, so that a comment in it cannot swallow the parenthesis.
  for (const auto& where : params.where) conditions.push_back(fmt::format("(\n{}\n)", where));
  bool ordered = false;
  std::string order;
  if (params.cursor) {
    const TableColumn& cursor = *column_named(*params.cursor);
    const std::string name = db_->identifier(cursor.name);
    for (const bool lower : {true, false}) {
      const auto& v = lower ? params.from : params.to;
      const auto bound = v ? bound_sql(*db_, cursor, *v, lower) : std::nullopt;
      if (bound) conditions.push_back(fmt::format("({} OR {} IS NULL)", *bound, name));
    }
    ordered = has_order(cursor.type);
    // NULLs come first.
    if (ordered) order = " ORDER BY " + name;
  }
  std::string sql = fmt::format("SELECT {} FROM {}", list, db_->identifier(params.entity));
  for (std::size_t i = 0; i < conditions.size(); ++i)
    sql += (i == 0 ? " WHERE " : " AND ") + conditions[i];
  if (const Status started = start(sql + order); !started)
    return fail(of_reading(params.entity, !params.where.empty(), started.error()));
  return std::make_unique<RowReader>(*db_, params, arrow::schema(std::move(fields)),
                                     std::move(columns), ordered);
}

}  // namespace tidegate::engine::mysql
