#pragma once
// The part of DuckDB's C API that is used here, and the library that has it. Signatures and numbers
// are those of duckdb.h 1.5 (https://duckdb.org/docs/stable/clients/c/api), which no package of
// ours brings; the library is loaded when a DuckDB file is first opened.

#include <cstdint>

#include "base/error.h"

struct ArrowArray;
struct ArrowSchema;

namespace tidegate::engine::duckdb {

// Opaque: pointers into the library.
using Database = struct DatabaseTag*;
using Connection = struct ConnectionHandleTag*;
using Prepared = struct PreparedTag*;
using Pending = struct PendingTag*;
using Config = struct ConfigTag*;
using Chunk = struct ChunkTag*;
using Vector = struct VectorTag*;
using LogicalType = struct LogicalTypeTag*;
using Appender = struct AppenderTag*;
using ErrorData = struct ErrorDataTag*;
using ArrowOptions = struct ArrowOptionsTag*;
using ConvertedSchema = struct ConvertedSchemaTag*;
using State = int;  // 0: success

struct QueryResult {
  std::uint64_t column_count, row_count, rows_changed;
  void* columns;
  char* error_message;
  void* internal_data;
};

// duckdb_type.
inline constexpr int kTypeBoolean = 1, kTypeBigint = 5, kTypeVarchar = 17;

// duckdb_error_type.
enum class ErrorType : int {
  OutOfRange = 1,
  Conversion = 2,
  Transaction = 10,
  NotImplemented = 11,
  Catalog = 13,
  Parser = 14,
  Constraint = 18,
  Syntax = 22,
  Binder = 24,
  Io = 28,
  Interrupt = 29,
  Fatal = 30,
  Internal = 31,
  InvalidInput = 32,
  OutOfMemory = 33,
  Permission = 34,
  Dependency = 37,
};

// duckdb_string_t: up to 12 bytes stand in it.
struct StringValue {
  std::uint32_t length;
  char prefix[4];
  union {
    const char* pointer;
    char rest[8];
  };
};

#define TIDEGATE_DUCKDB_FUNCTIONS(F)                                                              \
  F(free, void, (void*))                                                                          \
  F(create_config, State, (Config*))                                                              \
  F(set_config, State, (Config, const char*, const char*))                                        \
  F(destroy_config, void, (Config*))                                                              \
  F(open_ext, State, (const char*, Database*, Config, char**))                                    \
  F(close, void, (Database*))                                                                     \
  F(connect, State, (Database, Connection*))                                                      \
  F(disconnect, void, (Connection*))                                                              \
  F(interrupt, void, (Connection))                                                                \
  F(prepare, State, (Connection, const char*, Prepared*))                                         \
  F(prepare_error, const char*, (Prepared))                                                       \
  F(destroy_prepare, void, (Prepared*))                                                           \
  F(bind_varchar_length, State, (Prepared, std::uint64_t, const char*, std::uint64_t))            \
  F(bind_int64, State, (Prepared, std::uint64_t, std::int64_t))                                   \
  F(execute_prepared, State, (Prepared, QueryResult*))                                            \
  F(pending_prepared_streaming, State, (Prepared, Pending*))                                      \
  F(pending_error, const char*, (Pending))                                                        \
  F(execute_pending, State, (Pending, QueryResult*))                                              \
  F(destroy_pending, void, (Pending*))                                                            \
  F(destroy_result, void, (QueryResult*))                                                         \
  F(result_error, const char*, (QueryResult*))                                                    \
  F(result_error_type, int, (QueryResult*))                                                       \
  F(rows_changed, std::uint64_t, (QueryResult*))                                                  \
  F(column_count, std::uint64_t, (QueryResult*))                                                  \
  F(column_name, const char*, (QueryResult*, std::uint64_t))                                      \
  F(column_type, int, (QueryResult*, std::uint64_t))                                              \
  F(column_logical_type, LogicalType, (QueryResult*, std::uint64_t))                              \
  F(fetch_chunk, Chunk, (QueryResult))                                                            \
  F(destroy_data_chunk, void, (Chunk*))                                                           \
  F(data_chunk_get_size, std::uint64_t, (Chunk))                                                  \
  F(data_chunk_get_vector, Vector, (Chunk, std::uint64_t))                                        \
  F(vector_get_data, void*, (Vector))                                                             \
  F(vector_get_validity, std::uint64_t*, (Vector))                                                \
  F(create_logical_type, LogicalType, (int))                                                      \
  F(create_decimal_type, LogicalType, (std::uint8_t, std::uint8_t))                               \
  F(destroy_logical_type, void, (LogicalType*))                                                   \
  F(result_get_arrow_options, ArrowOptions, (QueryResult*))                                       \
  F(destroy_arrow_options, void, (ArrowOptions*))                                                 \
  F(to_arrow_schema, ErrorData,                                                                   \
    (ArrowOptions, LogicalType*, const char**, std::uint64_t, ArrowSchema*))                      \
  F(data_chunk_to_arrow, ErrorData, (ArrowOptions, Chunk, ArrowArray*))                           \
  F(schema_from_arrow, ErrorData, (Connection, ArrowSchema*, ConvertedSchema*))                   \
  F(data_chunk_from_arrow, ErrorData, (Connection, ArrowArray*, ConvertedSchema, Chunk*))         \
  F(destroy_arrow_converted_schema, void, (ConvertedSchema*))                                     \
  F(appender_create_query, State,                                                                 \
    (Connection, const char*, std::uint64_t, LogicalType*, const char*, const char**, Appender*)) \
  F(append_data_chunk, State, (Appender, Chunk))                                                  \
  F(appender_flush, State, (Appender))                                                            \
  F(appender_error_data, ErrorData, (Appender))                                                   \
  F(appender_destroy, State, (Appender*))                                                         \
  F(error_data_has_error, bool, (ErrorData))                                                      \
  F(error_data_message, const char*, (ErrorData))                                                 \
  F(error_data_error_type, int, (ErrorData))                                                      \
  F(destroy_error_data, void, (ErrorData*))

struct Api {
#define TIDEGATE_DUCKDB_MEMBER(name, result, arguments) result(*name) arguments = nullptr;
  TIDEGATE_DUCKDB_FUNCTIONS(TIDEGATE_DUCKDB_MEMBER)
#undef TIDEGATE_DUCKDB_MEMBER
};

// libduckdb.so: the file that TIDEGATE_DUCKDB_LIBRARY names, else where the program's own libraries
// are looked for. Loaded once and kept. Unsupported, saying where it was looked for and what to
// install: there is none, or one that lacks a function. Thread-safe.
Result<const Api*> api();

}  // namespace tidegate::engine::duckdb
