#include "engine/connectors/sqlite/source.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "engine/connectors/sqlite/cells.h"
#include "engine/core/condition.h"
#include "engine/core/names.h"
#include "engine/core/rows.h"
#include "engine/core/selection.h"
#include "engine/core/text_order.h"
#include "protocol/fields.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr std::size_t kRawRowMax = 4096;
// Small enough that a batch stays in the processor's cache between the two threads.
constexpr std::size_t kBatchRows = 16ULL * 1024;
static_assert(kBatchRows <= kMaxBatchRows);

// The authorizer of a reading connection: a user's `where` may select and call functions, nothing
// else.
int only_reads(void*, int action, const char*, const char* name, const char*, const char*) {
  switch (action) {
    case SQLITE_FUNCTION:
      return name != nullptr && sqlite3_stricmp(name, "load_extension") == 0 ? SQLITE_DENY
                                                                             : SQLITE_OK;
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_TRANSACTION:
    case SQLITE_PRAGMA:
      return SQLITE_OK;
    default:
      return SQLITE_DENY;
  }
}

// tidegate_out_of_order(low, high)
void out_of_order(sqlite3_context* context, int, sqlite3_value** values) {
  const auto text = [](sqlite3_value* value) {
    const auto* data = reinterpret_cast<const char*>(sqlite3_value_text(value));
    return data == nullptr
               ? std::string_view()
               : std::string_view(data, static_cast<std::size_t>(sqlite3_value_bytes(value)));
  };
  sqlite3_result_int(context, follows_out_of_order(text(values[0]), text(values[1])) ? 1 : 0);
}

class TableReader final : public Reader {
 public:
  TableReader(Db& db, Stmt stmt, const ReadParams& params, std::shared_ptr<arrow::Schema> schema,
              std::vector<std::unique_ptr<CellColumn>> columns, bool ordered)
      : db_(db),
        stmt_(std::move(stmt)),
        table_(params.entity),
        conditional_(!params.where.empty()),
        schema_(std::move(schema)),
        columns_(std::move(columns)),
        ordered_(ordered) {}
  ~TableReader() override {
    stmt_ = Stmt();
    db_.rollback();  // ends the snapshot
  }

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  bool ordered_by_cursor() const override { return ordered_; }

  Result<std::optional<ReadBatch>> next() override {
    if (done_) return std::nullopt;
    ReadBatch out;
    std::vector<std::uint8_t> keep;
    while (keep.size() < kBatchRows && out.bytes < kMaxBatchBytes) {
      const Result<bool> row = stmt_.step();
      // Functions tell only of a row that they refuse it.
      if (!row && conditional_ && row.error().code == Code::Invalid)
        return fail(of_condition(table_, "or a view fails for a row", row.error()));
      if (!row) return fail(row.error());
      if (!*row) {
        done_ = true;
        break;
      }
      ++row_;
      const std::string why = take_row(out.bytes);
      keep.push_back(why.empty() ? 1 : 0);
      if (!why.empty()) {
        out.rejected.push_back({fmt::format("{} row {}", table_, row_), why, raw_row()});
      }
    }
    if (keep.empty()) return std::nullopt;
    arrow::ArrayVector arrays;
    for (auto& column : columns_) {
      TG_TRY(auto array, column->finish());
      arrays.push_back(std::move(array));
    }
    const auto rows = static_cast<std::int64_t>(keep.size());
    out.batch = arrow::RecordBatch::Make(schema_, rows, std::move(arrays));
    if (!out.rejected.empty()) {
      TG_TRY(out.batch, keep_rows(out.batch, keep));
    }
    return out;
  }

 private:
  std::string take_row(std::int64_t& bytes) {
    std::string why;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const int index = static_cast<int>(c);
      std::string problem = columns_[c]->append(stmt_.raw(), index);
      const int type = sqlite3_column_type(stmt_.raw(), index);
      bytes +=
          type == SQLITE_TEXT || type == SQLITE_BLOB ? sqlite3_column_bytes(stmt_.raw(), index) : 8;
      if (problem.empty()) continue;
      why += fmt::format("{}column \"{}\": {}", why.empty() ? "" : "; ",
                         schema_->field(index)->name(), problem);
    }
    return why;
  }

  std::string raw_row() const {
    boost::json::object o;
    for (int c = 0; c < schema_->num_fields(); ++c) {
      o[protocol::to_utf8(schema_->field(c)->name())] =
          protocol::to_utf8(cell_words(stmt_.raw(), c));
    }
    std::string text = json::write(o);
    if (text.size() > kRawRowMax) text.resize(kRawRowMax);
    return text;
  }

  Db& db_;
  Stmt stmt_;
  const std::string table_;
  const bool conditional_;
  const std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::unique_ptr<CellColumn>> columns_;
  const bool ordered_;
  std::int64_t row_ = 0;
  bool done_ = false;
};

bool ours(const std::string& name) {
  return name.starts_with("_tidegate_") || name.starts_with("sqlite_");
}

Error bad_table(const std::string& name) {
  return data_error(
      fmt::format("the table \"{}\" has a name that {}; rename it (ALTER TABLE … "
                  "RENAME TO …), or copy a view of it",
                  escape_bytes(name), name_fault(name)));
}

Error bad_columns(const std::string& table, std::size_t number, const std::string& name) {
  return data_error(
      fmt::format("table \"{}\": {} (ALTER TABLE … RENAME COLUMN … TO …), or copy a "
                  "view that names it otherwise",
                  table, bad_column(number, name)));
}

}  // namespace

std::string SqliteSource::identity() const {
  const auto real = context_.paths.resolve(configured_path_, false);
  return "sqlite:" + (real ? *real : configured_path_);
}

std::vector<std::string> SqliteSource::local_files() const {
  const auto real = context_.paths.resolve(configured_path_, false);
  return real ? std::vector<std::string>{*real} : std::vector<std::string>{};
}

Status SqliteSource::connect() {
  if (db_) return {};
  TG_TRY(const std::string real, context_.paths.resolve(configured_path_, false));
  TG_TRY(db_, Db::open(real, Open::ReadOnly, context_.stop));
  const int rc = sqlite3_create_function_v2(db_->raw(), "tidegate_out_of_order", 2,
                                            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                            nullptr, &out_of_order, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return fail(db_->error(rc));
  return {};
}

Status SqliteSource::check() {
  TG_CHECK(connect());
  return db_->exec("SELECT count(*) FROM sqlite_schema");
}

Result<std::vector<SqliteSource::Column>> SqliteSource::columns_of(const std::string& table) {
  TG_TRY(Stmt stmt, db_->prepare("SELECT name, type, pk FROM pragma_table_xinfo(?1) "
                                 "WHERE hidden <> 1 ORDER BY cid"));
  stmt.bind(1, table);
  std::vector<Column> columns;
  for (;;) {
    TG_TRY(const bool row, stmt.step());
    if (!row) break;
    Column c{stmt.text(0), stmt.text(1), static_cast<int>(stmt.integer(2)), {}};
    c.type = from_declared(c.declared);
    columns.push_back(std::move(c));
  }
  return columns;
}

// Columns whose declaration does not settle the type are looked at: storage classes of undeclared
// ones, zones in timestamps.
Status SqliteSource::find_out_types(const std::string& table, std::vector<Column>& columns) {
  for (Column& c : columns) {
    const std::string column = quote(c.name);
    if (c.type.kind == Kind::Timestamp) {
      TG_TRY(const std::int64_t zoned,
             db_->integer(
                 fmt::format("SELECT EXISTS (SELECT 1 FROM {0} WHERE typeof({1}) = 'text' AND "
                             "length({1}) > 16 AND ({1} LIKE '%Z' OR substr({1}, 17) GLOB "
                             "'*[+-][0-9][0-9]*'))",
                             quote(table), column)));
      if (zoned != 0) c.type.kind = Kind::TimestampTz;
    }
    if (c.type.kind != Kind::Any) continue;
    TG_TRY(Stmt stmt,
           db_->prepare(fmt::format("SELECT DISTINCT typeof({}) FROM {}", column, quote(table))));
    bool ints = false;
    bool reals = false;
    bool texts = false;
    bool blobs = false;
    for (;;) {
      TG_TRY(const bool row, stmt.step());
      if (!row) break;
      const std::string type = stmt.text(0);
      ints |= type == "integer";
      reals |= type == "real";
      texts |= type == "text";
      blobs |= type == "blob";
    }
    const bool numbers = ints || reals;
    c.type.kind = blobs && !numbers ? Kind::Bytes
                  : texts           ? Kind::Text
                  : reals           ? Kind::Real
                  : ints            ? Kind::Int
                                    : Kind::Text;
  }
  return {};
}

Result<EntityInfo> SqliteSource::describe_entity(const std::string& table, bool is_table) {
  TG_TRY(std::vector<Column> columns, columns_of(table));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (name_fault(columns[i].name).empty()) continue;
    return fail(bad_columns(table, i + 1, columns[i].name));
  }
  TG_CHECK(find_out_types(table, columns));
  for (Column& c : columns) c.only_text = is_table && affinity(c.declared) == Affinity::Text;
  EntityInfo info;
  info.name = table;
  arrow::FieldVector fields;
  std::vector<std::string> later;
  std::vector<std::pair<int, std::string>> key;
  for (const Column& c : columns) {
    fields.push_back(with_declared(to_field(c.name, c.type), c.declared));
    if (c.key_position > 0) key.emplace_back(c.key_position, c.name);
    if (c.type.kind == Kind::Timestamp || c.type.kind == Kind::TimestampTz ||
        c.type.kind == Kind::Date) {
      info.cursor_candidates.push_back(c.name);
    }
    if (c.type.kind == Kind::Int) later.push_back(c.name);
  }
  std::ranges::move(later, std::back_inserter(info.cursor_candidates));
  std::ranges::sort(key);
  for (auto& [position, name] : key) info.primary_key.push_back(name);
  info.schema = arrow::schema(fields);
  if (is_table) {
    TG_TRY(info.rows, db_->integer(fmt::format("SELECT count(*) FROM {}", quote(table))));
  }
  // Not of several columns together, of some rows only (partial), or of expressions (NULL).
  TG_TRY(Stmt unique, db_->prepare("SELECT DISTINCT min(ii.name) FROM pragma_index_list(?1) il, "
                                   "pragma_index_info(il.name) ii WHERE il.\"unique\" AND NOT "
                                   "il.partial GROUP BY il.name HAVING count(*) = 1 AND "
                                   "min(ii.name) IS NOT NULL"));
  unique.bind(1, table);
  for (;;) {
    TG_TRY(const bool row, unique.step());
    if (!row) break;
    info.key_candidates.push_back(unique.text(0));
  }
  known_.emplace_back(table, std::move(columns));
  return info;
}

Result<Catalog> SqliteSource::discover(const Wanted& wanted) {
  TG_CHECK(connect());
  known_.clear();
  sqlite3_set_authorizer(db_->raw(), nullptr, nullptr);
  TG_TRY(Stmt stmt,
         db_->prepare("SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type "
                      "IN ('table', 'view', 'virtual') ORDER BY name"));
  std::vector<std::pair<std::string, bool>> tables;
  for (;;) {
    TG_TRY(const bool row, stmt.step());
    if (!row) break;
    if (!ours(stmt.text(0))) tables.emplace_back(stmt.text(0), stmt.text(1) == "table");
  }
  Catalog catalog;
  for (const auto& [name, is_table] : tables) {
    // The engine refuses it by its escaped name, which `wanted` does not match.
    if (!name_fault(name).empty()) {
      catalog.bad.push_back({name, bad_table(name)});
      continue;
    }
    if (wanted && !wanted(name)) {
      catalog.others.push_back(name);
      continue;
    }
    auto info = describe_entity(name, is_table);
    if (info) {
      catalog.entities.push_back(std::move(*info));
    } else if (info.error().code == Code::Cancelled) {
      return fail(info.error());
    } else {
      catalog.bad.push_back({name, info.error()});
    }
  }
  return catalog;
}

// The lower bound is handed down where SQLite's own comparison can only keep more rows than the
// engine's: whole numbers and text; for dates and timestamps by their date with two days to spare,
// because one column may mix notations and zones. Numbers among texts (`code STRING` stores '95' as
// 95) are less than every text to SQLite and compared as texts by the engine.
Result<std::string> SqliteSource::select_sql(const ReadParams& params,
                                             const std::vector<Column>& columns, bool& ordered,
                                             std::vector<std::string>& bound) const {
  std::string list;
  for (const auto& name : params.columns) list += (list.empty() ? "" : ", ") + quote(name);
  std::string sql = fmt::format("SELECT {} FROM {}", list, quote(params.entity));
  std::vector<std::string> conditions;
  // On lines of its own, so that a comment in it cannot swallow the parenthesis.
  for (const auto& where : params.where) conditions.push_back(fmt::format("(\n{}\n)", where));
  if (params.cursor) {
    const std::string cursor = quote(*params.cursor);
    const auto column = std::ranges::find(columns, *params.cursor, &Column::name);
    const Kind kind = column == columns.end() ? Kind::Any : column->type.kind;
    const bool only_text = kind == Kind::Text && column->only_text;
    if (params.from && kind == Kind::Int) {
      conditions.push_back(
          fmt::format("({0} >= {1} OR {0} IS NULL)", cursor, params.from->as_integer()));
    } else if (params.from && kind == Kind::Text) {
      bound.push_back(params.from->as_text());
      conditions.push_back(
          fmt::format("({0} >= ?1 COLLATE BINARY OR {0} IS NULL{1})", cursor,
                      only_text ? "" : fmt::format(" OR typeof({}) <> 'text'", cursor)));
    } else if (params.from &&
               (kind == Kind::Date || kind == Kind::Timestamp || kind == Kind::TimestampTz)) {
      bound.push_back(params.from->minus(std::chrono::days(2)).to_string().substr(0, 10));
      conditions.push_back(fmt::format(
          "({0} >= ?1 COLLATE BINARY OR {0} IS NULL OR typeof({0}) <> 'text')", cursor));
    }
    ordered = kind == Kind::Int || only_text;
  }
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    sql += (i == 0 ? " WHERE " : " AND ") + conditions[i];
  }
  // SQLite sorts NULLs first by itself.
  if (ordered) sql += fmt::format(" ORDER BY {} COLLATE BINARY", quote(*params.cursor));
  return sql;
}

// Cursor values are compared byte by byte, here and in the engine: a text that grows by another
// order (`b` before `C`) would be passed over. Views do not tell their columns' collations.
Status SqliteSource::check_collation(const std::string& table, const std::string& cursor,
                                     const std::vector<Column>& columns) const {
  const auto column = std::ranges::find(columns, cursor, &Column::name);
  if (column == columns.end() || column->type.kind != Kind::Text) return {};
  const char* collation = nullptr;
  if (sqlite3_table_column_metadata(db_->raw(), "main", table.c_str(), cursor.c_str(), nullptr,
                                    &collation, nullptr, nullptr, nullptr) != SQLITE_OK ||
      collation == nullptr || sqlite3_stricmp(collation, "BINARY") == 0) {
    return {};
  }
  std::string problem = fmt::format(
      "column \"{}\" is ordered by COLLATE {}, and a cursor of text is compared byte by "
      "byte; choose a column of numbers, times or plain text",
      cursor, collation);
  std::string message = fmt::format("entity \"{}\": {}", table, problem);
  return fail(Error{Code::Invalid,
                    std::move(message),
                    "bad_cursor",
                    {{fmt::format("entities[\"{}\"].cursor", table), std::move(problem), {}}}});
}

// In parentheses a condition may close them and open others, without them it may go on to another
// clause: only an expression is both. REQUIRES: the authorizer.
Status SqliteSource::check_condition(const std::string& table, const std::string& where) const {
  const auto refuse = [&](const Error& e) { return fail(of_condition(table, "was refused", e)); };
  if (where.find_first_not_of(" \t\r\n") == std::string::npos) {
    return refuse({Code::Invalid, "it is empty; leave it out, or give one", {}, {}});
  }
  const std::string select = fmt::format("SELECT 1 FROM {} WHERE ", quote(table));
  for (const auto& sql : {select + where, fmt::format("{}(\n{}\n)", select, where)}) {
    const auto stmt = db_->prepare(sql);
    if (!stmt) return refuse(stmt.error());
    if (sqlite3_bind_parameter_count(stmt->raw()) == 0) continue;
    return refuse(
        {Code::Invalid, "it holds a parameter (?, :name); write the value itself", {}, {}});
  }
  return {};
}

// The engine sees rows below the bound only where they are read. REQUIRES: the read's snapshot.
Status SqliteSource::check_order_below(const ReadParams& params,
                                       const std::vector<Column>& columns) const {
  if (!params.cursor || !params.from) return {};
  const auto column = std::ranges::find(columns, *params.cursor, &Column::name);
  if (column == columns.end() || column->type.kind != Kind::Text) return {};
  const std::string& bound = params.from->as_text();
  if (!may_be_followed_out_of_order(bound)) return {};
  std::string where;
  for (const auto& condition : params.where) where += fmt::format("(\n{}\n) AND ", condition);
  TG_TRY(Stmt stmt, db_->prepare(fmt::format(
                        "SELECT {0} FROM {1} WHERE {2}typeof({0}) = 'text' AND {0} < ?1 COLLATE "
                        "BINARY AND tidegate_out_of_order({0}, ?1) LIMIT 1",
                        quote(*params.cursor), quote(params.entity), where)));
  stmt.bind(1, bound);
  TG_TRY(const bool found, stmt.step());
  if (!found) return {};
  return fail(text_order_error(params.entity, *params.cursor, stmt.text(0), bound));
}

Result<std::unique_ptr<Reader>> SqliteSource::open(const ReadParams& params, const Partition&) {
  TG_CHECK(connect());
  const auto known =
      std::ranges::find(known_, params.entity, [](const auto& k) { return k.first; });
  if (known == known_.end()) {
    return fail(Code::NotFound,
                fmt::format("there is no table \"{}\" in '{}'", params.entity, db_->path()));
  }
  if (params.cursor) TG_CHECK(check_collation(params.entity, *params.cursor, known->second));
  bool ordered = false;
  std::vector<std::string> bound;
  TG_TRY(const std::string sql, select_sql(params, known->second, ordered, bound));
  sqlite3_set_authorizer(db_->raw(), &only_reads, nullptr);
  for (const auto& where : params.where) TG_CHECK(check_condition(params.entity, where));
  TG_CHECK(db_->exec("BEGIN"));
  if (const Status sorted = check_order_below(params, known->second); !sorted) {
    db_->rollback();
    return fail(sorted.error());
  }
  auto stmt = db_->prepare(sql);
  if (!stmt) {
    db_->rollback();
    return fail(stmt.error());
  }
  for (std::size_t i = 0; i < bound.size(); ++i) stmt->bind(static_cast<int>(i) + 1, bound[i]);
  arrow::FieldVector fields;
  std::vector<std::unique_ptr<CellColumn>> cells;
  for (const auto& name : params.columns) {
    const auto column = std::ranges::find(known->second, name, &Column::name);
    if (column == known->second.end()) {
      db_->rollback();
      return fail(Code::Invalid,
                  fmt::format("there is no column \"{}\" in \"{}\"", name, params.entity));
    }
    fields.push_back(with_declared(to_field(name, column->type), column->declared));
    TG_TRY(cells.emplace_back(), CellColumn::make(column->type));
  }
  return std::make_unique<TableReader>(*db_, std::move(*stmt), params, arrow::schema(fields),
                                       std::move(cells), ordered);
}

}  // namespace tidegate::engine::sqlite
