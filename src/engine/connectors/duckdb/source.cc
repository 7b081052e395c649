#include "engine/connectors/duckdb/source.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <arrow/util/byte_size.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/json.h"
#include "engine/connectors/duckdb/instance.h"
#include "engine/core/condition.h"
#include "engine/core/cursor.h"
#include "engine/core/json_fault.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "engine/core/text_order.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr Millis kPatience{30'000};
// Small enough that a batch stays in the processor's cache between the two threads.
constexpr std::int64_t kBatchRows = 16LL * 1024;
static_assert(kBatchRows <= kMaxBatchRows);
constexpr std::int64_t kEnoughBytes = kMaxBatchBytes / 4;
constexpr std::int64_t kDayMicros = 86'400'000'000;

// Values that have no place elsewhere: infinity, 24:00:00, and what DuckDB takes for JSON and
// nobody else does (NaN, a comma before the end). "": it has one.
std::string why_not(const arrow::Array& column, std::int64_t row) {
  constexpr const char* kInfinity = "infinity has no place elsewhere; write NULL or a date";
  switch (column.type_id()) {
    case arrow::Type::DATE32: {
      constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();
      const std::int32_t v = static_cast<const arrow::Date32Array&>(column).Value(row);
      return v == kMax || v == -kMax ? kInfinity : "";
    }
    case arrow::Type::TIMESTAMP: {
      constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
      const std::int64_t v = static_cast<const arrow::TimestampArray&>(column).Value(row);
      return v == kMax || v == -kMax ? kInfinity : "";
    }
    case arrow::Type::TIME64: {
      const std::int64_t v = static_cast<const arrow::Time64Array&>(column).Value(row);
      return v >= kDayMicros ? "24:00:00 is no time of day elsewhere; write 00:00:00" : "";
    }
    case arrow::Type::STRING: {
      const std::string fault =
          json_fault(static_cast<const arrow::StringArray&>(column).GetView(row));
      return fault.empty() ? "" : fmt::format("the value {}; correct it in the source", fault);
    }
    default:
      return "";
  }
}

// Functions and casts tell only of a row that they refuse it.
Error of_row(const std::string& entity, bool conditional, const Error& error) {
  if (error.code != Code::Invalid || !error.message.starts_with(kRefuses)) return error;
  if (conditional) return of_condition(entity, "or a view fails for a row", error);
  return data_error(
      fmt::format("entity \"{}\": a row cannot be read: {}; correct it, or the view, in the "
                  "source, or leave its column out (`columns` of the entity)",
                  entity, error.message));
}

class StreamReader final : public Reader {
 public:
  StreamReader(std::unique_ptr<Db> db, std::unique_ptr<Stream> stream, const ReadParams& params,
               std::shared_ptr<arrow::Schema> schema, bool ordered)
      : entity_(params.entity),
        conditional_(!params.where.empty()),
        schema_(std::move(schema)),
        ordered_(ordered),
        db_(std::move(db)),
        stream_(std::move(stream)) {}

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  bool ordered_by_cursor() const override { return ordered_; }

  Result<std::optional<ReadBatch>> next() override {
    arrow::RecordBatchVector pieces;
    std::int64_t rows = 0, bytes = 0;
    while (rows < kBatchRows && bytes < kEnoughBytes) {
      TG_TRY(auto piece, next_piece());
      if (!piece) break;
      rows += piece->num_rows();
      bytes += arrow::util::ReferencedBufferSize(*piece).ValueOr(0);
      pieces.push_back(std::move(piece));
    }
    if (pieces.empty()) return std::nullopt;
    if (pieces.size() == 1) return checked(*pieces.front(), bytes);
    const auto whole = arrow::ConcatenateRecordBatches(pieces);
    if (!whole.ok()) return fail(from_arrow(whole.status(), "joining rows"));
    return checked(**whole, bytes);
  }

 private:
  // What DuckDB hands over at once, or a part of it where its rows are long; null at the end.
  Result<std::shared_ptr<arrow::RecordBatch>> next_piece() {
    if (!rest_ && !done_) {
      auto piece = stream_->next();
      if (!piece) return fail(of_row(entity_, conditional_, piece.error()));
      rest_ = std::move(*piece);
      done_ = rest_ == nullptr;
      if (done_) return nullptr;
      const std::int64_t bytes = arrow::util::ReferencedBufferSize(*rest_).ValueOr(0);
      at_once_ = std::max<std::int64_t>(
          1, bytes <= kEnoughBytes ? rest_->num_rows() : rest_->num_rows() * kEnoughBytes / bytes);
    }
    if (!rest_) return nullptr;
    auto part = rest_->Slice(0, at_once_);
    rest_ = part->num_rows() == rest_->num_rows() ? nullptr : rest_->Slice(at_once_);
    return part;
  }

  Result<std::optional<ReadBatch>> checked(const arrow::RecordBatch& found, std::int64_t bytes) {
    const std::int64_t before = std::exchange(rows_, rows_ + found.num_rows());
    // Under the names and marks of discover().
    ReadBatch out{.batch = arrow::RecordBatch::Make(schema_, found.num_rows(), found.columns()),
                  .bytes = bytes,
                  .rejected = {}};
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(found.num_rows()), 1);
    for (int c = 0; c < out.batch->num_columns(); ++c) {
      const arrow::Array& column = *out.batch->column(c);
      if (!arrow::is_temporal(column.type_id()) && !is_json(*schema_->field(c))) continue;
      for (std::int64_t row = 0; row < column.length(); ++row) {
        const std::string why = column.IsNull(row) ? "" : why_not(column, row);
        if (why.empty() || keep[static_cast<std::size_t>(row)] == 0) continue;
        keep[static_cast<std::size_t>(row)] = 0;
        out.rejected.push_back({fmt::format("{} row {}", entity_, before + row + 1),
                                fmt::format("column \"{}\": {}", schema_->field(c)->name(), why),
                                json::write(row_json(*out.batch, row))});
      }
    }
    if (!out.rejected.empty()) {
      TG_TRY(out.batch, keep_rows(out.batch, keep));
    }
    return out;
  }

  const std::string entity_;
  const bool conditional_;
  const std::shared_ptr<arrow::Schema> schema_;
  const bool ordered_;
  const std::unique_ptr<Db> db_;
  const std::unique_ptr<Stream> stream_;      // after db_, which it uses
  std::shared_ptr<arrow::RecordBatch> rest_;  // of what the stream gave
  std::int64_t at_once_ = 0;                  // rows of it
  std::int64_t rows_ = 0;
  bool done_ = false;
};

// A bound as SQL; the engine applies it exactly. Empty: it cannot be handed down.
std::optional<std::string> bound_sql(const SourceColumn& column, const CursorValue& v, bool lower) {
  const Int128 second = lower ? -2 : 2;
  switch (column.type.kind) {
    case Kind::Date:
      return fmt::format("date '1970-01-01' + ({})::INTEGER", v.as_integer());
    case Kind::Timestamp:
    case Kind::TimestampS:
    case Kind::TimestampMs:
    case Kind::TimestampNs:
    case Kind::TimestampTz: {
      // A little wider than it is: to_timestamp() and the column's unit may round.
      const auto seconds = static_cast<std::int64_t>(v.as_ns() / 1'000'000'000 + second);
      const std::string micros = fmt::format("make_timestamp({}::BIGINT * 1000000)", seconds);
      return column.type.kind == Kind::TimestampTz ? fmt::format("{} AT TIME ZONE 'UTC'", micros)
                                                   : micros;
    }
    case Kind::Decimal:
      return v.to_string();
    case Kind::Text:
      // Rows below it that come after it in their own order are for the engine to see and to
      // refuse.
      if (lower && may_be_followed_out_of_order(v.as_text())) return std::nullopt;
      if (v.as_text().find('\0') != std::string::npos) return std::nullopt;  // it would end the SQL
      return literal(v.as_text());
    default:
      return is_whole_number(column.type) ? std::optional(v.to_string()) : std::nullopt;
  }
}

// What is compared with a bound, and sorted: texts byte by byte, whatever the column's collation
// is.
std::string compared(const SourceColumn& column) {
  return quote(column.name) + (column.type.kind == Kind::Text ? " COLLATE C" : "");
}

// As the engine compares.
bool sorts_as_the_engine(const ColumnType& type) {
  return is_whole_number(type) || is_time(type) || type.kind == Kind::Decimal ||
         type.kind == Kind::Text;
}

// Its text would leave out rows: 10 comes before 9.
bool sorts_otherwise(const ColumnType& type) {
  return type.kind == Kind::Other || type.kind == Kind::Nested || type.kind == Kind::Json;
}

EntityInfo info_of(const std::string& name, const Relation& r) {
  EntityInfo info{.name = name, .schema = nullptr};
  arrow::FieldVector fields;
  for (const auto& c : r.columns) fields.push_back(to_field(c.name, c.type));
  info.schema = arrow::schema(std::move(fields));
  info.primary_key = r.primary_key;
  for (const bool time : {true, false}) {
    for (const auto& c : r.columns) {
      if (time ? is_time(c.type) : is_whole_number(c.type))
        info.cursor_candidates.push_back(c.name);
    }
  }
  if (!r.view) info.rows = r.rows;
  return info;
}

Result<std::map<std::string, Relation, std::less<>>> list_relations(Db& db) {
  std::map<std::string, Relation, std::less<>> out;
  TG_TRY(
      const Rows found,
      db.query("SELECT schema_name, table_name, false, estimated_size::BIGINT, database_name FROM "
               "duckdb_tables() WHERE database_name = current_database() AND NOT internal AND "
               "NOT temporary UNION ALL SELECT schema_name, view_name, true, 0, database_name FROM "
               "duckdb_views() WHERE database_name = current_database() AND NOT internal AND "
               "NOT temporary ORDER BY 1, 2"));
  for (std::int64_t i = 0; i < found.size(); ++i) {
    Relation r{.database = found.text(i, 4),
               .schema = found.text(i, 0),
               .name = found.text(i, 1),
               .view = found.flag(i, 2),
               .rows = found.integer(i, 3),
               .columns = {},
               .primary_key = {}};
    if (r.name.starts_with("_tidegate_")) continue;
    std::string name = r.schema == "main" ? r.name : r.schema + "." + r.name;
    out.emplace(std::move(name), std::move(r));
  }
  return out;
}

Status describe_relation(Db& db, Relation& r) {
  TG_TRY(const Rows columns,
         db.query(fmt::format("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {})",
                              r.qualified())));
  for (std::int64_t i = 0; i < columns.size(); ++i)
    r.columns.push_back({columns.text(i, 0), from_declared(columns.text(i, 1))});
  TG_TRY(const Rows key,
         db.query("SELECT unnest(constraint_column_names) FROM duckdb_constraints() WHERE "
                  "database_name = current_database() AND schema_name = $1 AND table_name = $2 AND "
                  "constraint_type = 'PRIMARY KEY'",
                  {r.schema, r.name}));
  for (std::int64_t i = 0; i < key.size(); ++i) r.primary_key.push_back(key.text(i, 0));
  return {};
}

// In parentheses a condition may close them and open others, without them it may go on to another
// clause: only an expression is both.
Status check_condition(Db& db, const Relation& table, const std::string& where) {
  const auto refuse = [&](const Error& e) {
    return fail(of_condition(table.name, "was refused", e));
  };
  if (where.find_first_not_of(" \t\r\n") == std::string::npos)
    return refuse({Code::Invalid, "it is empty; leave it out, or give one", {}, {}});
  const std::string select = fmt::format("SELECT 1 FROM {} WHERE ", table.qualified());
  for (const auto& sql : {select + where, fmt::format("{}(\n{}\n)", select, where)}) {
    if (const Status parsed = db.parse(sql); !parsed) return refuse(parsed.error());
  }
  return {};
}

Error changed_meanwhile(const std::string& entity) {
  return {Code::Unavailable,
          fmt::format("entity \"{}\": its columns changed while it was read; run again", entity),
          {},
          {}};
}

}  // namespace

std::string DuckdbSource::identity() const {
  const auto real = context_.paths.resolve(path_, false);
  return "duckdb:" + (real ? *real : path_);
}

std::vector<std::string> DuckdbSource::local_files() const {
  const auto real = context_.paths.resolve(path_, false);
  return real ? std::vector{*real} : std::vector<std::string>{};
}

Result<std::unique_ptr<Db>> DuckdbSource::connect() const {
  TG_TRY(const std::string real, context_.paths.resolve(path_, false));
  return Db::open(real, Open::ReadOnly, kPatience, context_);
}

Status DuckdbSource::check() {
  TG_TRY(const auto db, connect());
  return db->exec("SELECT 1");
}

Result<Catalog> DuckdbSource::discover(const Wanted& wanted) {
  TG_TRY(const auto db, connect());
  TG_TRY(auto relations, list_relations(*db));
  Catalog catalog;
  tables_.clear();
  for (auto& [name, relation] : relations) {
    if (wanted && !wanted(name)) {
      catalog.others.push_back(name);
      continue;
    }
    if (const Status described = describe_relation(*db, relation); !described) {
      if (described.error().code == Code::Cancelled) return fail(described.error());
      catalog.bad.push_back({name, described.error()});
      continue;
    }
    catalog.entities.push_back(info_of(name, relation));
    tables_.emplace(name, std::move(relation));
  }
  return catalog;
}

Result<std::unique_ptr<Reader>> DuckdbSource::open(const ReadParams& params, const Partition&) {
  const auto known = tables_.find(params.entity);
  if (known == tables_.end()) {
    return fail(Code::NotFound,
                fmt::format("there is no table \"{}\" in '{}'", params.entity, path_));
  }
  const Relation& table = known->second;
  const auto column_named = [&](const std::string& name) {
    return std::ranges::find(table.columns, name, &SourceColumn::name);
  };
  TG_TRY(auto db, connect());
  std::string list;
  arrow::FieldVector fields;
  for (const std::string& name : params.columns) {
    const auto column = column_named(name);
    if (column == table.columns.end()) {
      return fail(Code::Invalid,
                  fmt::format("there is no column \"{}\" in \"{}\"", name, params.entity));
    }
    list += (list.empty() ? "" : ", ") + select_expression(quote(name), column->type);
    fields.push_back(to_field(name, column->type));
  }
  for (const auto& where : params.where) TG_CHECK(check_condition(*db, table, where));
  std::vector<std::string> conditions;
  // On lines of its own, so that a comment in it cannot swallow the parenthesis.
  for (const auto& where : params.where) conditions.push_back(fmt::format("(\n{}\n)", where));
  std::string order;
  if (params.cursor) {
    const SourceColumn& cursor = *column_named(*params.cursor);
    if (sorts_otherwise(cursor.type)) {
      return fail(Code::Invalid,
                  fmt::format("the column \"{}\" cannot be the cursor: it is copied as text, which "
                              "sorts otherwise than its values; name a time, a whole number or a "
                              "text column, or copy a view that makes one of it",
                              cursor.name));
    }
    for (const bool lower : {true, false}) {
      const auto& v = lower ? params.from : params.to;
      const auto bound = v ? bound_sql(cursor, *v, lower) : std::nullopt;
      if (!bound) continue;
      conditions.push_back(fmt::format("({} {} {} OR {} IS NULL)", compared(cursor),
                                       lower ? ">=" : "<=", *bound, quote(cursor.name)));
    }
    if (sorts_as_the_engine(cursor.type)) order = compared(cursor);
  }
  std::string sql = fmt::format("SELECT {} FROM {}", list, table.qualified());
  for (std::size_t i = 0; i < conditions.size(); ++i)
    sql += (i == 0 ? " WHERE " : " AND ") + conditions[i];
  if (!order.empty()) sql += fmt::format(" ORDER BY {} NULLS FIRST", order);
  auto stream = db->stream(sql);
  if (!stream) return fail(of_row(params.entity, !params.where.empty(), stream.error()));
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto& found = (*stream)->schema()->field(static_cast<int>(i))->type();
    if (!found->Equals(fields[i]->type())) return fail(changed_meanwhile(params.entity));
  }
  return std::make_unique<StreamReader>(std::move(db), std::move(*stream), params,
                                        arrow::schema(std::move(fields)), !order.empty());
}

}  // namespace tidegate::engine::duckdb
