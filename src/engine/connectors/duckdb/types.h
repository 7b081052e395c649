#pragma once
// Types of DuckDB columns ↔ Arrow types, with no silent loss
// (https://duckdb.org/docs/stable/sql/data_types/overview).

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/connectors/duckdb/api.h"

namespace tidegate::engine::duckdb {

enum class Kind : std::uint8_t {
  Bool,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  Float,
  Double,
  Decimal,
  Text,
  Json,
  Blob,
  Date,
  Time,
  Timestamp,
  TimestampS,
  TimestampMs,
  TimestampNs,
  TimestampTz,
  Nested,  // lists, structs, maps, unions
  Other,   // what has a text and no form of its own: UUID, ENUM, HUGEINT, INTERVAL, …
};

struct ColumnType {
  Kind kind = Kind::Other;
  int precision = 0, scale = 0;  // Decimal
  std::string declared;          // as DuckDB writes it

  bool operator==(const ColumnType&) const = default;
};

// What DESCRIBE says of a column.
ColumnType from_declared(std::string_view declared);

// ---- as a source

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type);
// What stands in the SELECT for a column, so that its values travel as to_field() says.
std::string select_expression(const std::string& identifier, const ColumnType& type);
bool is_time(const ColumnType& type);
bool is_whole_number(const ColumnType& type);

// ---- as a destination

// The type of a new column for the field. A field without any value becomes VARCHAR. Unsupported,
// naming the column, for types that DuckDB has no form for.
Result<ColumnType> target_type(const arrow::Field& field);

// True: every value of `incoming` is held by a column of `existing`, after a cast.
bool holds(const ColumnType& existing, const ColumnType& incoming);
// True: a text may be a value of `existing` (UUID, ENUM, …), which each row's value is asked for.
bool may_hold(const ColumnType& existing, const ColumnType& incoming);
// The narrowest type that holds the values of both; nullopt: there is none.
std::optional<ColumnType> widen(const ColumnType& existing, const ColumnType& incoming);

// The Arrow type in which values of `type` are handed to DuckDB.
std::shared_ptr<arrow::DataType> handed_type(const ColumnType& type);
// Of one of those. The caller destroys it.
LogicalType make_type(const Api& api, const arrow::DataType& handed);

}  // namespace tidegate::engine::duckdb
