#include "engine/connectors/sqlite/encoder.h"

#include <arrow/array.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "engine/connectors/sqlite/cells.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/timetext.h"
#include "engine/core/schema.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr std::int64_t kExactInt = std::int64_t{1} << 53;

Form form_of(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BOOL:
      return Form::Bool;
    case arrow::Type::INT8:
      return Form::Int8;
    case arrow::Type::INT16:
      return Form::Int16;
    case arrow::Type::INT32:
      return Form::Int32;
    case arrow::Type::INT64:
      return Form::Int64;
    case arrow::Type::UINT8:
      return Form::UInt8;
    case arrow::Type::UINT16:
      return Form::UInt16;
    case arrow::Type::UINT32:
      return Form::UInt32;
    case arrow::Type::UINT64:
      return Form::UInt64;
    case arrow::Type::FLOAT:
      return Form::Float;
    case arrow::Type::DOUBLE:
      return Form::Double;
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
      return Form::Decimal;
    case arrow::Type::STRING:
      return Form::String;
    case arrow::Type::LARGE_STRING:
      return Form::LargeString;
    case arrow::Type::BINARY:
      return Form::Binary;
    case arrow::Type::LARGE_BINARY:
      return Form::LargeBinary;
    case arrow::Type::FIXED_SIZE_BINARY:
      return Form::FixedBinary;
    case arrow::Type::DATE32:
      return Form::Date32;
    case arrow::Type::DATE64:
      return Form::Date64;
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return Form::Time;
    case arrow::Type::TIMESTAMP:
      return Form::Timestamp;
    default:
      return Form::Null;
  }
}

std::int64_t ticks_of(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1;
    case arrow::TimeUnit::MILLI:
      return 1000;
    case arrow::TimeUnit::MICRO:
      return 1'000'000;
    case arrow::TimeUnit::NANO:
      return 1'000'000'000;
  }
  return 1;
}

void put_owned(sqlite3_context* context, const std::string& s) {
  sqlite3_result_text64(context, s.data(), s.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

bool is_string(Form f) { return f == Form::String || f == Form::LargeString; }
bool is_bytes(Form f) {
  return f == Form::Binary || f == Form::LargeBinary || f == Form::FixedBinary;
}

}  // namespace

Result<Encoder> Encoder::make(const arrow::Field& field, const ColumnType& column) {
  Encoder e;
  const arrow::DataType& type = *field.type();
  e.form = form_of(type);
  e.target = column;
  e.as_text =
      (column.kind == Kind::Text || column.kind == Kind::Json || column.kind == Kind::Decimal) &&
      !is_string(e.form) && !is_bytes(e.form) && e.form != Form::Null;
  e.plain_json = column.kind == Kind::Text && is_string(e.form) && is_json(field);
  e.midnight = column.kind == Kind::Timestamp && (e.form == Form::Date32 || e.form == Form::Date64);
  if (e.form == Form::Decimal) e.scale = static_cast<const arrow::DecimalType&>(type).scale();
  if (e.form == Form::FixedBinary) {
    e.width = static_cast<const arrow::FixedSizeBinaryType&>(type).byte_width();
  }
  if (e.form == Form::Time) e.ticks = ticks_of(static_cast<const arrow::TimeType&>(type).unit());
  if (e.form == Form::Timestamp) {
    const auto& t = static_cast<const arrow::TimestampType&>(type);
    e.ticks = ticks_of(t.unit());
    e.zone = !t.timezone().empty();
  }
  return e;
}

Status Encoder::attach(const std::shared_ptr<arrow::Array>& column) {
  array = column;
  const arrow::ArrayData& data = *column->data();
  offset = data.offset;
  validity = column->null_count() == 0 ? nullptr : column->null_bitmap_data();
  values = nullptr;
  bytes = nullptr;
  if (data.buffers.size() > 1 && data.buffers[1]) values = data.buffers[1]->data();
  if (data.buffers.size() > 2 && data.buffers[2]) bytes = data.buffers[2]->data();
  if (form == Form::Null && column->type_id() != arrow::Type::NA) {
    return fail(Code::Internal, fmt::format("a column of type {} reached the SQLite writer",
                                            column->type()->ToString()));
  }
  return {};
}

std::optional<std::int64_t> Encoder::whole(std::int64_t row) const {
  switch (form) {
    case Form::Bool: {
      const std::int64_t i = offset + row;
      return (static_cast<const std::uint8_t*>(values)[i >> 3] >> (i & 7)) & 1;
    }
    case Form::Int8:
      return at<std::int8_t>(row);
    case Form::Int16:
      return at<std::int16_t>(row);
    case Form::Int32:
      return at<std::int32_t>(row);
    case Form::Int64:
      return at<std::int64_t>(row);
    case Form::UInt8:
      return at<std::uint8_t>(row);
    case Form::UInt16:
      return at<std::uint16_t>(row);
    case Form::UInt32:
      return at<std::uint32_t>(row);
    default:
      return std::nullopt;
  }
}

std::optional<double> Encoder::real(std::int64_t row) const {
  if (form == Form::Float) return static_cast<double>(at<float>(row));
  if (form == Form::Double) return at<double>(row);
  return std::nullopt;
}

void Encoder::put_date(sqlite3_context* context, std::int64_t days) const {
  std::array<char, kTimeTextMax> buffer;
  const std::size_t n = midnight ? write_timestamp(days * 86'400, 1, false, buffer.data())
                                 : write_date(days, buffer.data());
  sqlite3_result_text(context, buffer.data(), static_cast<int>(n), SQLITE_TRANSIENT);
}

void Encoder::put(sqlite3_context* context, std::int64_t row) const {
  if (as_text) return put_text(context, row);
  switch (form) {
    case Form::String:
    case Form::LargeString: {
      const std::string_view v = string(row);
      if (plain_json && v.starts_with('"')) return put_owned(context, sqlite::plain_json(v));
      return sqlite3_result_text64(context, v.data(), v.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    case Form::Int64:
      return sqlite3_result_int64(context, at<std::int64_t>(row));
    case Form::Double:
      return sqlite3_result_double(context, at<double>(row));
    case Form::Timestamp: {
      std::array<char, kTimeTextMax> buffer;
      const std::size_t n = write_timestamp(at<std::int64_t>(row), ticks, zone, buffer.data());
      return sqlite3_result_text(context, buffer.data(), static_cast<int>(n), SQLITE_TRANSIENT);
    }
    case Form::Date32:
      return put_date(context, at<std::int32_t>(row));
    case Form::Date64:
      return put_date(context, at<std::int64_t>(row) / 86'400'000);
    case Form::Binary: {
      const auto* offsets = static_cast<const std::int32_t*>(values) + offset + row;
      if (offsets[1] == offsets[0]) return sqlite3_result_zeroblob(context, 0);
      return sqlite3_result_blob(context, bytes + offsets[0], offsets[1] - offsets[0],
                                 SQLITE_STATIC);
    }
    case Form::LargeBinary: {
      const auto* offsets = static_cast<const std::int64_t*>(values) + offset + row;
      if (offsets[1] == offsets[0]) return sqlite3_result_zeroblob(context, 0);
      return sqlite3_result_blob64(context, bytes + offsets[0],
                                   static_cast<sqlite3_uint64>(offsets[1] - offsets[0]),
                                   SQLITE_STATIC);
    }
    case Form::FixedBinary:
      return sqlite3_result_blob(context,
                                 static_cast<const std::uint8_t*>(values) + (offset + row) * width,
                                 width, SQLITE_STATIC);
    case Form::Float:
      return sqlite3_result_double(context, static_cast<double>(at<float>(row)));
    case Form::Decimal:
    case Form::UInt64:
    case Form::Time:
      return put_text(context, row);
    case Form::Null:
      return sqlite3_result_null(context);
    default:
      return sqlite3_result_int64(context, *whole(row));
  }
}

std::string Encoder::text(std::int64_t row) const {
  if (const auto v = whole(row)) return fmt::format("{}", *v);
  if (const auto v = real(row)) return real_text(*v);
  std::array<char, kTimeTextMax> buffer;
  switch (form) {
    case Form::UInt64:
      return fmt::format("{}", at<std::uint64_t>(row));
    case Form::Decimal:
      if (array->type_id() == arrow::Type::DECIMAL128) {
        return static_cast<const arrow::Decimal128Array&>(*array).FormatValue(row);
      }
      return static_cast<const arrow::Decimal256Array&>(*array).FormatValue(row);
    case Form::Time: {
      const std::int64_t v =
          array->type_id() == arrow::Type::TIME32 ? at<std::int32_t>(row) : at<std::int64_t>(row);
      return {buffer.data(), write_time(v, ticks, buffer.data())};
    }
    case Form::Timestamp:
      return {buffer.data(), write_timestamp(at<std::int64_t>(row), ticks, zone, buffer.data())};
    case Form::Date32:
      return {buffer.data(), write_date(at<std::int32_t>(row), buffer.data())};
    case Form::Date64:
      return {buffer.data(), write_date(at<std::int64_t>(row) / 86'400'000, buffer.data())};
    default:
      return {};
  }
}

std::int64_t Encoder::length(std::int64_t begin, std::int64_t end) const {
  const auto between = [&](const auto* offsets) -> std::int64_t {
    return offsets == nullptr ? 0 : offsets[offset + end] - offsets[offset + begin];
  };
  switch (form) {
    case Form::String:
    case Form::Binary:
      return between(static_cast<const std::int32_t*>(values));
    case Form::LargeString:
    case Form::LargeBinary:
      return between(static_cast<const std::int64_t*>(values));
    default:
      return 0;
  }
}

std::string_view Encoder::string(std::int64_t row) const {
  const auto cut = [&](const auto* offsets) -> std::string_view {
    if (bytes == nullptr) return "";
    return {reinterpret_cast<const char*>(bytes) + offsets[row],
            static_cast<std::size_t>(offsets[row + 1] - offsets[row])};
  };
  if (form == Form::LargeString) return cut(static_cast<const std::int64_t*>(values) + offset);
  return cut(static_cast<const std::int32_t*>(values) + offset);
}

// One number has one text in a column of decimals, and one truth value in a column of text:
// otherwise a key would not meet its row again.
void Encoder::put_text(sqlite3_context* context, std::int64_t row) const {
  if (target.kind == Kind::Decimal && !(form == Form::Decimal && scale == target.scale)) {
    return put_owned(context, decimal_text(text(row), target.scale));
  }
  if (form == Form::Bool) return put_owned(context, *whole(row) != 0 ? "true" : "false");
  put_owned(context, text(row));
}

std::string Encoder::shown(std::int64_t row) const {
  constexpr std::size_t kShown = 60;
  if (is_string(form)) {
    const std::string_view v = string(row);
    return fmt::format("'{}{}'", v.substr(0, kShown), v.size() > kShown ? "…" : "");
  }
  const std::string v = text(row);
  return v.empty() ? "the value" : v;
}

bool Encoder::may_fail() const {
  switch (form) {
    case Form::Float:
    case Form::Double:  // NaN
    case Form::Date32:
    case Form::Date64:
    case Form::Time:
    case Form::Timestamp:
      return true;  // outside the years SQLite can write
    case Form::Null:
      return false;
    default:
      break;
  }
  if (target.kind == Kind::Any || target.kind == Kind::Text)
    return is_bytes(form) && target.kind == Kind::Text;
  // The column kept a type that does not take every value of this form (schemaChange: ignore).
  switch (form) {
    case Form::Int64:
    case Form::UInt64:
      return target.kind != Kind::Int || form == Form::UInt64;
    case Form::String:
    case Form::LargeString:
      return target.kind != Kind::Json;
    case Form::Binary:
    case Form::LargeBinary:
    case Form::FixedBinary:
      return target.kind != Kind::Bytes;
    default:
      return true;
  }
}

bool Encoder::surely_fine(std::int64_t row) const {
  constexpr std::int64_t kFirstDay = -719'528;  // 0000-01-01
  constexpr std::int64_t kLastDay = 2'932'896;  // 9999-12-31
  switch (form) {
    case Form::Double:
      return target.kind == Kind::Real && !std::isnan(at<double>(row));
    case Form::Timestamp: {
      if (target.kind != (zone ? Kind::TimestampTz : Kind::Timestamp)) return false;
      const std::int64_t day = at<std::int64_t>(row) / ticks / 86'400;
      return day > kFirstDay && day < kLastDay;
    }
    case Form::Date32:
      return target.kind == Kind::Date && at<std::int32_t>(row) >= kFirstDay &&
             at<std::int32_t>(row) <= kLastDay;
    default:
      return false;
  }
}

std::string Encoder::why_not(std::int64_t row) const {
  const auto not_a = [&] {
    return fmt::format("does not fit the column, which is {}", words(target));
  };
  const Kind kind = target.kind;
  if (const auto v = real(row)) {
    if (std::isnan(*v)) {
      return "is not a number (NaN), which SQLite would store as NULL; write NULL in the source, "
             "or leave the column out (--exclude-columns, or `columns` of the entity)";
    }
    if (kind == Kind::Real || kind == Kind::Any || kind == Kind::Text) return "";
    const bool fits =
        kind == Kind::Int && *v == std::floor(*v) && std::abs(*v) <= double(kExactInt);
    return fits ? "" : not_a();
  }
  if (form == Form::Date32 || form == Form::Date64 || form == Form::Timestamp ||
      form == Form::Time) {
    if (text(row).empty()) {
      return form == Form::Time ? "is no time of day"
                                : "is before the year 0000 or after 9999, which SQLite's dates "
                                  "cannot be; correct it in the source, or leave the column out "
                                  "(--exclude-columns, or `columns` of the entity)";
    }
    const bool fits =
        kind == Kind::Any || kind == Kind::Text || (form == Form::Time && kind == Kind::Time) ||
        (form == Form::Timestamp &&
         ((zone && kind == Kind::TimestampTz) || (!zone && kind == Kind::Timestamp))) ||
        (form != Form::Time && form != Form::Timestamp &&
         (kind == Kind::Date || kind == Kind::Timestamp));
    return fits ? "" : not_a();
  }
  if (is_bytes(form)) return kind == Kind::Bytes || kind == Kind::Any ? "" : not_a();
  if (is_string(form))
    return kind == Kind::Text || kind == Kind::Json || kind == Kind::Any ? "" : not_a();
  if (kind == Kind::Any || kind == Kind::Text) return "";
  if (const auto v = whole(row)) {
    if (kind == Kind::Int) return "";
    if (kind == Kind::Bool) return *v == 0 || *v == 1 ? "" : not_a();
    if (kind == Kind::Real) {
      if (*v <= kExactInt && *v >= -kExactInt) return "";
      return not_a() +
             " with fractions: it would lose digits. Make the column INTEGER or TEXT by hand, or "
             "drop the table and load it in full";
    }
  }
  if (kind == Kind::Decimal && (whole(row) || form == Form::Decimal || form == Form::UInt64)) {
    arrow::Decimal256 d;
    std::int32_t precision = 0;
    std::int32_t places = 0;
    if (!arrow::Decimal256::FromString(text(row), &d, &precision, &places).ok()) return not_a();
    const auto scaled = d.Rescale(places, target.scale);
    return scaled.ok() && scaled->FitsInPrecision(target.precision) ? "" : not_a();
  }
  return not_a();
}

namespace {

// SQLITE_MAX_LENGTH as SQLite is built by default, of a value and of a whole row
// (https://www.sqlite.org/limits.html); numbers, and what a record says of each column, at most.
constexpr std::int64_t kMaxRow = 1'000'000'000, kOfColumn = 17;

// Why the row is longer than a row can be; "": it is not.
std::string too_long(const std::vector<Encoder>& encoders, const std::vector<std::string>& names,
                     std::int64_t row) {
  std::int64_t bytes = 0, longest = -1;
  std::size_t which = 0;
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    const std::int64_t length = encoders[i].is_null(row) ? 0 : encoders[i].length(row, row + 1);
    bytes += length + kOfColumn;
    if (length <= longest) continue;
    longest = length;
    which = i;
  }
  if (bytes <= kMaxRow) return {};
  return fmt::format(
      "column \"{}\": the value has {} bytes, and a row of SQLite at most 1,000,000,000; shorten "
      "it in the source, or leave the column out (--exclude-columns, or `columns` of the entity)",
      names[which], longest);
}

}  // namespace

std::vector<std::pair<std::int64_t, std::string>> unstorable(const std::vector<Encoder>& encoders,
                                                             const std::vector<std::string>& names,
                                                             std::int64_t rows) {
  std::vector<std::pair<std::int64_t, std::string>> out;
  std::vector<std::size_t> doubtful;
  std::int64_t all = 0;
  for (const Encoder& e : encoders) all += e.length(0, rows) + rows * kOfColumn;
  const bool long_rows = all > kMaxRow;
  for (std::size_t i = 0; i < encoders.size(); ++i) {
    if (encoders[i].may_fail()) doubtful.push_back(i);
  }
  if (doubtful.empty() && !long_rows) return out;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (std::string why = long_rows ? too_long(encoders, names, row) : ""; !why.empty()) {
      out.emplace_back(row, std::move(why));
      continue;
    }
    for (const std::size_t i : doubtful) {
      const Encoder& e = encoders[i];
      if (e.is_null(row) || e.surely_fine(row)) continue;
      const std::string why = e.why_not(row);
      if (why.empty()) continue;
      out.emplace_back(row, fmt::format("column \"{}\": {} {}", names[i], e.shown(row), why));
      break;
    }
  }
  return out;
}

}  // namespace tidegate::engine::sqlite
