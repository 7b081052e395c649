#include "engine/connectors/postgres/source.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/connectors/postgres/copy_decoder.h"
#include "engine/core/condition.h"
#include "engine/core/rows.h"
#include "engine/core/text_order.h"

namespace tidegate::engine::postgres {
namespace {

// Small enough that a batch stays in the processor's cache between the two threads.
constexpr std::int64_t kBatchRows = 16LL * 1024;
static_assert(kBatchRows <= kMaxBatchRows);

std::string qualified(const Connection& db, const Relation& table) {
  return db.identifier(table.schema) + "." + db.identifier(table.name);
}

// Runs while it lives; the connection is used by nobody else meanwhile.
class CopyReader final : public Reader {
 public:
  CopyReader(Connection& db, const ReadParams& params, std::shared_ptr<arrow::Schema> schema,
             std::vector<std::unique_ptr<Column>> columns, bool ordered)
      : db_(db),
        entity_(params.entity),
        conditional_(!params.where.empty()),
        schema_(schema),
        decoder_(std::move(schema), std::move(columns)),
        ordered_(ordered) {}

  ~CopyReader() override {
    if (!done_) db_.close();
  }

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  bool ordered_by_cursor() const override { return ordered_; }

  Result<std::optional<ReadBatch>> next() override {
    if (done_) return std::nullopt;
    while (decoder_.rows() < kBatchRows && decoder_.bytes() < kMaxBatchBytes) {
      const auto piece = db_.next_piece();
      if (!piece) return fail(of_row(piece.error()));
      if (!*piece) {
        TG_CHECK(db_.exec("COMMIT"));
        done_ = true;
        break;
      }
      TG_CHECK(decoder_.take(**piece));
    }
    if (decoder_.rows() == 0) return std::nullopt;
    const std::int64_t before = std::exchange(rows_, rows_ + decoder_.rows());
    TG_TRY(CopyDecoder::Taken taken, decoder_.finish());
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
  // Functions, casts and encodings tell only of a row that they refuse it. Which one that is, the
  // rows before it tell, unless they are sorted.
  Error of_row(const Error& error) const {
    if (error.code != Code::Invalid) return error;
    if (conditional_) return of_condition(entity_, "or a view fails for a row", error);
    const bool has_remedy = db_.sqlstate().starts_with("54");
    return data_error(fmt::format(
        "entity \"{}\": a row{} cannot be read: {}{}", entity_,
        ordered_ ? "" : fmt::format(" behind the first {}", rows_ + decoder_.rows()), error.message,
        has_remedy ? ""
                   : "; correct it in the source, or leave its column out (`columns` "
                     "of the entity)"));
  }

  Connection& db_;
  const std::string entity_;
  const bool conditional_;
  const std::shared_ptr<arrow::Schema> schema_;
  CopyDecoder decoder_;
  const bool ordered_;
  std::int64_t rows_ = 0;
  bool done_ = false;
};

// A bound as SQL, a little wider than it is where the server's arithmetic may round; the engine
// applies it exactly. Empty: it cannot be handed down.
struct Bound {
  std::string value, compared;  // `c >= value`
};
std::optional<Bound> bound_sql(const Connection& db, const TableColumn& column,
                               const CursorValue& v, bool lower) {
  const std::string name = db.identifier(column.name);
  const Int128 second = lower ? -1 : 1;
  switch (column.type.kind) {
    case Kind::Int2:
    case Kind::Int4:
    case Kind::Int8:
      return Bound{std::to_string(v.as_integer()), name};
    case Kind::Numeric:
      return Bound{v.to_string(), name};
    case Kind::Date:
      return Bound{fmt::format("date '1970-01-01' + ({})", v.as_integer()), name};
    case Kind::Timestamp:
    case Kind::TimestampTz: {
      const auto seconds = static_cast<std::int64_t>(v.as_ns() / 1'000'000'000 + second * 2);
      return Bound{fmt::format("{} '1970-01-01 00:00:00{}' + ({}) * interval '1 second'",
                               column.type.kind == Kind::Timestamp ? "timestamp" : "timestamptz",
                               column.type.kind == Kind::Timestamp ? "" : "+00", seconds),
                   name};
    }
    case Kind::Text:
      // Rows below it that come after it in their own order are for the engine to see and to
      // refuse.
      if (lower && may_be_followed_out_of_order(v.as_text())) return std::nullopt;
      return Bound{db.literal(v.as_text()), fmt::format("{}::text COLLATE \"C\"", name)};
    default:
      return std::nullopt;
  }
}

std::string hidden_words(const std::string& grant) {
  return fmt::format(
      "the user may not read all of its columns; {}, or leave them out (`columns` of the entity)",
      grant);
}

// Its text would leave out rows: 10.0.0.10 comes before 10.0.0.9.
bool sorts_otherwise(const ColumnType& type) {
  return type.kind == Kind::CastText || type.kind == Kind::CastJson || type.kind == Kind::Json ||
         type.kind == Kind::Jsonb;
}

// As the engine compares; NaN is no position among numbers.
std::optional<std::string> order_sql(const Connection& db, const TableColumn& column) {
  std::string name = db.identifier(column.name);
  switch (column.type.kind) {
    case Kind::Int2:
    case Kind::Int4:
    case Kind::Int8:
    case Kind::Numeric:
    case Kind::Date:
    case Kind::Timestamp:
    case Kind::TimestampTz:
      return name;
    case Kind::Text:
      return fmt::format("{}::text COLLATE \"C\"", name);
    default:
      return std::nullopt;
  }
}

}  // namespace

Status PostgresSource::connect() {
  if (db_ && db_->is_open()) return {};
  TG_TRY(db_, Connection::open(config_, context_.stop));
  // What a policy hides would be taken for rows that are gone.
  return db_->exec("SET row_security = off");
}

Result<std::optional<std::string>> PostgresSource::table_place(const std::string& entity) {
  const auto table = tables_.find(entity);
  if (table == tables_.end()) return std::nullopt;
  TG_CHECK(connect());
  return db_->place_of(table->second.schema, table->second.name);
}

Status PostgresSource::check() {
  TG_CHECK(connect());
  for (const std::string& schema : config_.schemas) {
    TG_TRY(
        const Rows found,
        db_->query("SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1",
                   {schema}));
    if (found.size() == 0) {
      return fail(Code::NotFound, fmt::format("there is no schema \"{}\" in {}; correct `schemas`",
                                              schema, config_.place));
    }
    if (!found.flag(0, 0)) {
      return fail(
          Code::Forbidden,
          fmt::format(
              "the user may not use the schema \"{0}\"; GRANT USAGE ON SCHEMA {1} TO the user",
              schema, db_->identifier(schema)));
    }
  }
  return {};
}

Result<Catalog> PostgresSource::discover(const Wanted& wanted) {
  TG_CHECK(connect());
  TG_TRY(Found found, read_catalog(*db_, config_.schemas, wanted));
  tables_ = std::move(found.tables);
  return std::move(found.catalog);
}

// Whoever runs a job has left such columns out, or is told by open().
Result<Catalog> PostgresSource::sample() {
  TG_TRY(Catalog catalog, discover({}));
  for (EntityInfo& entity : catalog.entities) {
    const Relation& table = tables_.at(entity.name);
    if (!table.hidden.empty()) entity.warnings.push_back(hidden_words(table.grant));
  }
  return catalog;
}

// In parentheses a condition may close them and open others, without them it may go on to another
// clause: only an expression is both.
Status PostgresSource::check_condition(const Relation& table, const std::string& where) {
  const auto refuse = [&](const Error& e) {
    return fail(of_condition(table.name, "was refused", e));
  };
  if (where.find_first_not_of(" \t\r\n") == std::string::npos) {
    return refuse({Code::Invalid, "it is empty; leave it out, or give one", {}, {}});
  }
  const std::string select = fmt::format("SELECT 1 FROM {} WHERE ", qualified(*db_, table));
  for (const auto& sql : {select + where, fmt::format("{}(\n{}\n)", select, where)}) {
    if (const Status parsed = db_->parse(sql); !parsed) return refuse(parsed.error());
  }
  return {};
}

Result<std::unique_ptr<Reader>> PostgresSource::open(const ReadParams& params, const Partition&) {
  TG_CHECK(connect());
  const auto known = tables_.find(params.entity);
  if (known == tables_.end()) {
    return fail(Code::NotFound,
                fmt::format("there is no table \"{}\" in {}", params.entity, config_.place));
  }
  const Relation& table = known->second;
  const auto column_named = [&](const std::string& name) {
    return std::ranges::find(table.columns, name, &TableColumn::name);
  };
  std::string list;
  arrow::FieldVector fields;
  std::vector<std::unique_ptr<Column>> columns;
  for (const std::string& name : params.columns) {
    const auto column = column_named(name);
    if (column == table.columns.end()) {
      return fail(Code::Invalid,
                  fmt::format("there is no column \"{}\" in \"{}\"", name, params.entity));
    }
    if (std::ranges::count(table.hidden, name) > 0)
      return fail(Code::Forbidden, hidden_words(table.grant));
    list += (list.empty() ? "" : ", ") + select_expression(db_->identifier(name), column->type);
    fields.push_back(to_field(name, column->type));
    TG_TRY(columns.emplace_back(), Column::make(column->type));
  }
  for (const auto& where : params.where) TG_CHECK(check_condition(table, where));
  std::vector<std::string> conditions;
  // On lines of its own, so that a comment in it cannot swallow the parenthesis.
  for (const auto& where : params.where) conditions.push_back(fmt::format("(\n{}\n)", where));
  std::optional<std::string> order;
  if (params.cursor) {
    const TableColumn& cursor = *column_named(*params.cursor);
    if (sorts_otherwise(cursor.type)) {
      return fail(Code::Invalid,
                  fmt::format("the column \"{}\" cannot be the cursor: it is copied as text, which "
                              "sorts otherwise than its values; name a time, a whole number or a "
                              "text column, or copy a view that makes one of it",
                              cursor.name));
    }
    const std::string name = db_->identifier(cursor.name);
    for (const bool lower : {true, false}) {
      const auto& v = lower ? params.from : params.to;
      const auto bound = v ? bound_sql(*db_, cursor, *v, lower) : std::nullopt;
      if (!bound) continue;
      conditions.push_back(fmt::format("({} {} {} OR {} IS NULL)", bound->compared,
                                       lower ? ">=" : "<=", bound->value, name));
    }
    order = order_sql(*db_, cursor);
  }
  std::string sql = fmt::format("SELECT {} FROM {}", list, qualified(*db_, table));
  for (std::size_t i = 0; i < conditions.size(); ++i)
    sql += (i == 0 ? " WHERE " : " AND ") + conditions[i];
  if (order) sql += fmt::format(" ORDER BY {} NULLS FIRST", *order);
  TG_CHECK(db_->exec("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  if (const Status begun = db_->copy_out(fmt::format("COPY ({}) TO STDOUT (FORMAT binary)", sql));
      !begun) {
    (void)db_->exec("ROLLBACK");
    return fail(begun.error());
  }
  return std::make_unique<CopyReader>(*db_, params, arrow::schema(std::move(fields)),
                                      std::move(columns), order.has_value());
}

}  // namespace tidegate::engine::postgres
