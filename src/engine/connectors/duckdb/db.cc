#include "engine/connectors/duckdb/db.h"

#include <arrow/c/abi.h>
#include <arrow/c/bridge.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>
#include <utility>

#include "engine/connectors/duckdb/instance.h"
#include "engine/connectors/duckdb/types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::duckdb {
namespace {

// What a vector of DuckDB holds (STANDARD_VECTOR_SIZE).
constexpr std::int64_t kVectorRows = 2048;

struct ResultGuard {
  const Api& api;
  QueryResult result{};
  ~ResultGuard() { api.destroy_result(&result); }
};

bool is_set(const std::uint64_t* validity, std::uint64_t row) {
  return validity == nullptr || ((validity[row / 64] >> (row % 64)) & 1) != 0;
}

std::string_view said(const char* message) {
  return message == nullptr ? "DuckDB gives no reason" : message;
}

std::string cell_text(int type, const void* data, std::uint64_t row) {
  if (type == kTypeBoolean) return static_cast<const std::uint8_t*>(data)[row] != 0 ? "1" : "0";
  if (type == kTypeBigint) return std::to_string(static_cast<const std::int64_t*>(data)[row]);
  const StringValue& value = static_cast<const StringValue*>(data)[row];
  const bool inlined = value.length <= sizeof value.prefix + sizeof value.rest;
  return {inlined ? value.prefix : value.pointer, value.length};
}

}  // namespace

std::string quote(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + '\'';
}

std::string folded(std::string_view expression) {
  return fmt::format("translate({}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')",
                     expression);
}

std::int64_t Rows::integer(std::int64_t row, std::size_t column) const {
  const auto& text = cell(row, column);
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

// ---- connections

Result<std::unique_ptr<Db>> Db::open(const std::string& path, Open how, Millis patience,
                                     const Context& context,
                                     const std::function<void()>& on_blocked) {
  struct stat is{};
  if (stat(path.c_str(), &is) == 0 && !S_ISREG(is.st_mode)) {
    return fail(Code::Invalid,
                fmt::format("'{}' is not a file; give the path of a DuckDB database", path));
  }
  TG_TRY(auto instance, open_instance(path, how, patience, context, on_blocked));
  return connect(std::move(instance), context);
}

Result<std::unique_ptr<Db>> Db::scratch(const Context& context) {
  TG_TRY(auto instance, scratch_instance());
  return connect(std::move(instance), context);
}

Result<std::unique_ptr<Db>> Db::another() const { return connect(instance_, context_); }

Result<std::unique_ptr<Db>> Db::connect(std::shared_ptr<Instance> instance,
                                        const Context& context) {
  std::unique_ptr<Db> db(new Db(std::move(instance), context));
  const Api& api = *db->instance_->api;
  if (api.connect(db->instance_->database, &db->connection_) != 0)
    return fail(Code::Internal, "DuckDB makes no more connections");
  db->on_stop_ = std::make_unique<std::stop_callback<std::function<void()>>>(
      context.stop, [&api, connection = db->connection_] { api.interrupt(connection); });
  return db;
}

Db::~Db() {
  on_stop_.reset();
  if (connection_ != nullptr) instance_->api->disconnect(&connection_);
}

const std::string& Db::path() const { return instance_->path; }

Error Db::stopped() const { return {Code::Cancelled, "the run was stopped", {}, {}}; }

Error Db::error(int type, std::string_view message) const {
  if (context_.stop.stop_requested()) return stopped();
  return error_of(path(), type, message);
}

std::optional<Error> Db::taken(ErrorData data) const {
  const Api& api = *instance_->api;
  std::optional<Error> out;
  if (data != nullptr && api.error_data_has_error(data))
    out = error(api.error_data_error_type(data), api.error_data_message(data));
  if (data != nullptr) api.destroy_error_data(&data);
  return out;
}

Result<Prepared> Db::prepare(std::string_view sql) {
  if (context_.stop.stop_requested()) return fail(stopped());
  const Api& api = *instance_->api;
  Prepared prepared = nullptr;
  if (api.prepare(connection_, std::string(sql).c_str(), &prepared) == 0) return prepared;
  const char* message = api.prepare_error(prepared);
  Error e = error(0, said(message));
  api.destroy_prepare(&prepared);
  return fail(std::move(e));
}

Status Db::parse(std::string_view sql) {
  TG_TRY(Prepared prepared, prepare(sql));
  instance_->api->destroy_prepare(&prepared);
  return {};
}

Result<Rows> Db::query(std::string_view sql, std::span<const Value> values) {
  const Api& api = *instance_->api;
  TG_TRY(Prepared prepared, prepare(sql));
  std::uint64_t index = 0;
  for (const Value& value : values) {
    ++index;
    if (const auto* text = std::get_if<std::string>(&value)) {
      api.bind_varchar_length(prepared, index, text->data(), text->size());
    } else {
      api.bind_int64(prepared, index, std::get<std::int64_t>(value));
    }
  }
  ResultGuard guard{.api = api};
  const State state = api.execute_prepared(prepared, &guard.result);
  api.destroy_prepare(&prepared);
  if (state != 0)
    return fail(error(api.result_error_type(&guard.result), said(api.result_error(&guard.result))));
  Rows rows;
  rows.columns_ = api.column_count(&guard.result);
  rows.changed_ = static_cast<std::int64_t>(api.rows_changed(&guard.result));
  std::vector<int> types;
  for (std::size_t c = 0; c < rows.columns_; ++c)
    types.push_back(api.column_type(&guard.result, c));
  while (Chunk chunk = api.fetch_chunk(guard.result)) {
    const std::uint64_t size = api.data_chunk_get_size(chunk);
    for (std::uint64_t row = 0; row < size; ++row) {
      for (std::size_t c = 0; c < rows.columns_; ++c) {
        const Vector vector = api.data_chunk_get_vector(chunk, c);
        auto& cell = rows.cells_.emplace_back();
        if (is_set(api.vector_get_validity(vector), row))
          cell = cell_text(types[c], api.vector_get_data(vector), row);
      }
    }
    api.destroy_data_chunk(&chunk);
  }
  return rows;
}

Status Db::exec(std::string_view sql) {
  TG_CHECK(query(sql));
  return {};
}

Status Db::commit() {
  TG_CHECK(exec("COMMIT"));
  return sync_folder(path());
}

void Db::rollback() {
  const Api& api = *instance_->api;
  Prepared prepared = nullptr;
  ResultGuard guard{.api = api};
  // After a stop too: prepare() would refuse.
  if (api.prepare(connection_, "ROLLBACK", &prepared) == 0)
    api.execute_prepared(prepared, &guard.result);
  api.destroy_prepare(&prepared);
}

Status Db::in_place() const {
  if (instance_->path.empty() || file_id(path()) == instance_->file) return {};
  return fail(Error{
      Code::Unavailable,
      fmt::format("'{}' was removed or replaced while it was written: the rows of this run are "
                  "not in it. Leave the file in its place and run again",
                  path()),
      "destination_gone",
      {}});
}

// ---- rows out

Result<std::unique_ptr<Stream>> Db::stream(std::string_view sql) {
  const Api& api = *instance_->api;
  TG_TRY(Prepared prepared, prepare(sql));
  std::unique_ptr<Stream> stream(new Stream(*this));
  Pending pending = nullptr;
  std::optional<Error> failed;
  if (api.pending_prepared_streaming(prepared, &pending) != 0) {
    failed = error(0, said(api.pending_error(pending)));
  } else if (api.execute_pending(pending, &stream->result_) != 0) {
    failed =
        error(api.result_error_type(&stream->result_), said(api.result_error(&stream->result_)));
  }
  api.destroy_pending(&pending);
  api.destroy_prepare(&prepared);
  if (failed) return fail(std::move(*failed));
  stream->options_ = api.result_get_arrow_options(&stream->result_);
  std::vector<LogicalType> types;
  std::vector<const char*> names;
  for (std::uint64_t c = 0; c < api.column_count(&stream->result_); ++c) {
    types.push_back(api.column_logical_type(&stream->result_, c));
    names.push_back(api.column_name(&stream->result_, c));
  }
  ArrowSchema exported{};
  failed = taken(
      api.to_arrow_schema(stream->options_, types.data(), names.data(), types.size(), &exported));
  for (LogicalType& type : types) api.destroy_logical_type(&type);
  if (failed) return fail(std::move(*failed));
  auto schema = arrow::ImportSchema(&exported);
  if (!schema.ok()) return fail(from_arrow(schema.status(), "reading DuckDB's types"));
  stream->schema_ = *schema;
  return stream;
}

Stream::~Stream() {
  const Api& api = *db_.instance_->api;
  if (options_ != nullptr) api.destroy_arrow_options(&options_);
  api.destroy_result(&result_);
}

Result<std::shared_ptr<arrow::RecordBatch>> Stream::next() {
  const Api& api = *db_.instance_->api;
  if (db_.context_.stop.stop_requested()) return fail(db_.stopped());
  Chunk chunk = api.fetch_chunk(result_);
  if (chunk == nullptr) {
    // The end, or a failure in the middle.
    const char* message = api.result_error(&result_);
    if (message != nullptr && *message != '\0')
      return fail(db_.error(api.result_error_type(&result_), message));
    return nullptr;
  }
  ArrowArray exported{};
  const auto failed = db_.taken(api.data_chunk_to_arrow(options_, chunk, &exported));
  api.destroy_data_chunk(&chunk);
  if (failed) return fail(*failed);
  auto batch = arrow::ImportRecordBatch(&exported, schema_);
  if (!batch.ok()) return fail(from_arrow(batch.status(), "reading DuckDB's rows"));
  if ((*batch)->num_rows() == 0) return nullptr;
  return *batch;
}

// ---- rows in

Result<std::unique_ptr<Insert>> Db::insert(const std::string& sql, const arrow::Schema& schema) {
  const Api& api = *instance_->api;
  if (context_.stop.stop_requested()) return fail(stopped());
  std::unique_ptr<Insert> insert(new Insert(*this));
  ArrowSchema exported{};
  if (const auto done = arrow::ExportSchema(schema, &exported); !done.ok())
    return fail(from_arrow(done, "handing types to DuckDB"));
  auto failed = taken(api.schema_from_arrow(connection_, &exported, &insert->converted_));
  if (exported.release != nullptr) exported.release(&exported);
  if (failed) return fail(std::move(*failed));
  std::vector<LogicalType> types;
  std::vector<const char*> names;
  const std::vector<std::string> own = schema.field_names();
  for (const auto& field : schema.fields()) types.push_back(make_type(api, *field->type()));
  for (const auto& name : own) names.push_back(name.c_str());
  const State state =
      api.appender_create_query(connection_, sql.c_str(), types.size(), types.data(), nullptr,
                                names.data(), &insert->appender_);
  for (LogicalType& type : types) api.destroy_logical_type(&type);
  if (state != 0) return fail(insert->error());
  return insert;
}

Insert::~Insert() {
  const Api& api = *db_.instance_->api;
  // What was not flushed is of a load that failed, and goes with its transaction.
  if (appender_ != nullptr) api.appender_destroy(&appender_);
  if (converted_ != nullptr) api.destroy_arrow_converted_schema(&converted_);
}

Error Insert::error() const {
  const Api& api = *db_.instance_->api;
  auto e = appender_ == nullptr ? std::nullopt : db_.taken(api.appender_error_data(appender_));
  return e.value_or(Error{Code::Internal, "DuckDB takes no rows and does not say why", {}, {}});
}

Status Insert::put(const arrow::RecordBatch& batch) {
  const Api& api = *db_.instance_->api;
  if (db_.context_.stop.stop_requested()) return fail(db_.stopped());
  for (std::int64_t at = 0; at < batch.num_rows(); at += kVectorRows) {
    ArrowArray exported{};
    const auto done = arrow::ExportRecordBatch(*batch.Slice(at, kVectorRows), &exported);
    if (!done.ok()) return fail(from_arrow(done, "handing rows to DuckDB"));
    Chunk chunk = nullptr;
    const auto failed =
        db_.taken(api.data_chunk_from_arrow(db_.connection_, &exported, converted_, &chunk));
    if (exported.release != nullptr) exported.release(&exported);
    if (failed) return fail(*failed);
    const State appended = api.append_data_chunk(appender_, chunk);
    api.destroy_data_chunk(&chunk);
    if (appended != 0) return fail(error());
  }
  if (batch.num_rows() > 0 && api.appender_flush(appender_) != 0) return fail(error());
  return {};
}

}  // namespace tidegate::engine::duckdb
