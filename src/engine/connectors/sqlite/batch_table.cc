#include "engine/connectors/sqlite/batch_table.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include "engine/connectors/sqlite/encoder.h"

namespace tidegate::engine::sqlite {

struct BatchTable::State {
  std::vector<Encoder> encoders;
  std::vector<std::string> names;
  std::int64_t rows = 0, begin = 0, end = 0;
};

namespace {

// No table can be in its way: names that begin so are ours.
constexpr const char* kModule = "_tidegate_batch";

// The first member must be SQLite's own structure (https://www.sqlite.org/vtab.html §2.1).
struct Table {
  sqlite3_vtab base;
  const BatchTable::State* state;
};
struct Cursor {
  sqlite3_vtab_cursor base;
  const BatchTable::State* state;
  std::int64_t row;
};

int connect(sqlite3* db, void* aux, int, const char* const*, sqlite3_vtab** out, char**) {
  const auto* state = static_cast<const BatchTable::State*>(aux);
  std::string sql = "CREATE TABLE x(";
  for (std::size_t i = 0; i < state->encoders.size(); ++i)
    sql += fmt::format("{}c{}", i == 0 ? "" : ",", i);
  const int rc = sqlite3_declare_vtab(db, (sql + ")").c_str());
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  *out = &(new Table{{}, state})->base;
  return SQLITE_OK;
}
int disconnect(sqlite3_vtab* table) {
  delete reinterpret_cast<Table*>(table);
  return SQLITE_OK;
}
int best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  info->estimatedCost = 1e6;
  info->estimatedRows = 65'536;
  return SQLITE_OK;
}
int open_cursor(sqlite3_vtab* table, sqlite3_vtab_cursor** out) {
  *out = &(new Cursor{{}, reinterpret_cast<Table*>(table)->state, 0})->base;
  return SQLITE_OK;
}
int close_cursor(sqlite3_vtab_cursor* cursor) {
  delete reinterpret_cast<Cursor*>(cursor);
  return SQLITE_OK;
}
int filter(sqlite3_vtab_cursor* cursor, int, const char*, int, sqlite3_value**) {
  auto* c = reinterpret_cast<Cursor*>(cursor);
  c->row = c->state->begin;
  return SQLITE_OK;
}
int next(sqlite3_vtab_cursor* cursor) {
  ++reinterpret_cast<Cursor*>(cursor)->row;
  return SQLITE_OK;
}
int eof(sqlite3_vtab_cursor* cursor) {
  const auto* c = reinterpret_cast<Cursor*>(cursor);
  return c->row >= c->state->end ? 1 : 0;
}
int column(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int index) {
  const auto* c = reinterpret_cast<Cursor*>(cursor);
  const Encoder& encoder = c->state->encoders[static_cast<std::size_t>(index)];
  if (!encoder.is_null(c->row)) encoder.put(context, c->row);
  return SQLITE_OK;
}
int rowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* out) {
  *out = reinterpret_cast<Cursor*>(cursor)->row;
  return SQLITE_OK;
}

// No xCreate: the table is there by its name alone and cannot be made by a CREATE statement.
constexpr sqlite3_module make_module() {
  sqlite3_module m{};
  m.iVersion = 1;
  m.xConnect = &connect;
  m.xBestIndex = &best_index;
  m.xDisconnect = &disconnect;
  m.xOpen = &open_cursor;
  m.xClose = &close_cursor;
  m.xFilter = &filter;
  m.xNext = &next;
  m.xEof = &eof;
  m.xColumn = &column;
  m.xRowid = &rowid;
  return m;
}
constexpr sqlite3_module kModuleTable = make_module();

}  // namespace

BatchTable::BatchTable(Db& db) : db_(db), state_(std::make_unique<State>()) {}

BatchTable::~BatchTable() {
  sqlite3_create_module_v2(db_.raw(), kModule, nullptr, nullptr, nullptr);
}

Result<std::unique_ptr<BatchTable>> BatchTable::create(Db& db, const arrow::Schema& schema,
                                                       const std::vector<ColumnType>& targets) {
  std::unique_ptr<BatchTable> table(new BatchTable(db));
  for (int i = 0; i < schema.num_fields(); ++i) {
    TG_TRY(Encoder e, Encoder::make(*schema.field(i), targets[static_cast<std::size_t>(i)]));
    table->state_->encoders.push_back(std::move(e));
    table->state_->names.push_back(schema.field(i)->name());
  }
  const int rc =
      sqlite3_create_module_v2(db.raw(), kModule, &kModuleTable, table->state_.get(), nullptr);
  if (rc != SQLITE_OK) return fail(db.error(rc));
  return table;
}

Status BatchTable::show(const arrow::RecordBatch& batch) {
  for (std::size_t i = 0; i < state_->encoders.size(); ++i) {
    TG_CHECK(state_->encoders[i].attach(batch.column(static_cast<int>(i))));
  }
  state_->rows = batch.num_rows();
  show_range(0, state_->rows);
  return {};
}

void BatchTable::show_range(std::int64_t begin, std::int64_t end) {
  state_->begin = begin;
  state_->end = end;
}

std::vector<std::pair<std::int64_t, std::string>> BatchTable::unstorable() const {
  return sqlite::unstorable(state_->encoders, state_->names, state_->rows);
}

}  // namespace tidegate::engine::sqlite
