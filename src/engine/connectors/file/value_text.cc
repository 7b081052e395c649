#include "engine/connectors/file/value_text.h"

#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/util/base64.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace tidegate::engine::file {
namespace {

template <class T>
void append_number(std::string& out, T v) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), v).ptr;
  out.append(text.data(), end);
}

// `digits` × 10^-scale, never in scientific notation.
void append_decimal(std::string& out, std::string digits, int scale) {
  if (digits.starts_with('-')) {
    out += '-';
    digits.erase(0, 1);
  }
  if (scale <= 0) {
    out += digits;
    if (digits != "0") out.append(static_cast<std::size_t>(-scale), '0');
    return;
  }
  const auto n = static_cast<std::size_t>(scale);
  if (digits.size() <= n) digits.insert(0, n + 1 - digits.size(), '0');
  out.append(digits, 0, digits.size() - n);
  out += '.';
  out.append(digits, digits.size() - n);
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
void append_date(std::string& out, std::int64_t days) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const std::int64_t doe = days - era * 146097;
  const std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const std::int64_t mp = (5 * doy + 2) / 153;
  const std::int64_t month = mp < 10 ? mp + 3 : mp - 9;
  const std::int64_t year = yoe + era * 400 + (month <= 2);
  if (year < 0) out += '-';
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}", std::abs(year), month,
                 doy - (153 * mp + 2) / 5 + 1);
}

std::int64_t per_second(arrow::TimeUnit::type unit) {
  static constexpr std::array<std::int64_t, 4> kUnits = {1, 1'000, 1'000'000, 1'000'000'000};
  return kUnits[static_cast<std::size_t>(unit)];
}

// The time of the day, in `per` units a second; a fraction only when there is one.
void append_clock(std::string& out, std::int64_t units, std::int64_t per) {
  const std::int64_t seconds = units / per, fraction = units % per;
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60,
                 seconds % 60);
  if (fraction == 0) return;
  const int width = per == 1'000 ? 3 : per == 1'000'000 ? 6 : 9;
  fmt::format_to(std::back_inserter(out), ".{:0{}}", fraction, width);
}

void append_timestamp(std::string& out, std::int64_t value, const arrow::TimestampType& type) {
  const std::int64_t per = per_second(type.unit()), day = 86'400 * per;
  // Not by `days * day`, which the least values overflow.
  const std::int64_t rest = value % day;
  append_date(out, value / day - (rest < 0));
  out += 'T';
  append_clock(out, rest < 0 ? rest + day : rest, per);
  if (!type.timezone().empty()) out += 'Z';
}

template <class Array>
void append_int(std::string& out, const arrow::Array& array, std::int64_t row) {
  append_number(out, static_cast<std::int64_t>(static_cast<const Array&>(array).Value(row)));
}

template <class Array>
std::string_view view(const arrow::Array& array, std::int64_t row) {
  return static_cast<const Array&>(array).GetView(row);
}

template <class Array, class Decimal>
void append_decimal_of(std::string& out, const arrow::Array& array, std::int64_t row) {
  const Decimal value(static_cast<const Array&>(array).GetValue(row));
  append_decimal(out, value.ToIntegerString(),
                 static_cast<const arrow::DecimalType&>(*array.type()).scale());
}

std::int64_t time_value(const arrow::Array& array, std::int64_t row) {
  return array.type_id() == arrow::Type::TIME32
             ? static_cast<const arrow::Time32Array&>(array).Value(row)
             : static_cast<const arrow::Time64Array&>(array).Value(row);
}

bool append_whole(std::string& out, const arrow::Array& a, std::int64_t row) {
  switch (a.type_id()) {
    case arrow::Type::INT8:
      return append_int<arrow::Int8Array>(out, a, row), true;
    case arrow::Type::INT16:
      return append_int<arrow::Int16Array>(out, a, row), true;
    case arrow::Type::INT32:
      return append_int<arrow::Int32Array>(out, a, row), true;
    case arrow::Type::INT64:
      return append_int<arrow::Int64Array>(out, a, row), true;
    case arrow::Type::UINT8:
      return append_int<arrow::UInt8Array>(out, a, row), true;
    case arrow::Type::UINT16:
      return append_int<arrow::UInt16Array>(out, a, row), true;
    case arrow::Type::UINT32:
      return append_int<arrow::UInt32Array>(out, a, row), true;
    case arrow::Type::UINT64:
      return append_number(out, static_cast<const arrow::UInt64Array&>(a).Value(row)), true;
    default:
      return false;
  }
}

template <class Array>
void append_list(std::string& out, const arrow::Array& array, std::int64_t row) {
  const auto& list = static_cast<const Array&>(array);
  out += '[';
  for (std::int64_t i = 0; i < list.value_length(row); ++i) {
    if (i > 0) out += ',';
    append_json(out, *list.values(), list.value_offset(row) + i);
  }
  out += ']';
}

void append_struct(std::string& out, const arrow::StructArray& array, std::int64_t row) {
  out += '{';
  for (int i = 0; i < array.num_fields(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, array.struct_type()->field(i)->name());
    out += ':';
    append_json(out, *array.field(i), row);
  }
  out += '}';
}

// ISO 8601, with the unit that the column's number lacks: `PT1.5S`.
void append_duration(std::string& out, std::int64_t units, arrow::TimeUnit::type unit) {
  int scale = 0;
  for (std::int64_t per = per_second(unit); per > 1; per /= 10) ++scale;
  if (units < 0) out += '-';
  out += "PT";
  append_decimal(out, std::to_string(units).substr(units < 0 ? 1 : 0), scale);
  if (scale > 0) {
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
  }
  out += 'S';
}

// RFC 9562, 4.
void append_uuid(std::string& out, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    fmt::format_to(std::back_inserter(out), "{:02x}", static_cast<unsigned char>(bytes[i]));
  }
}

std::string extension_name(const arrow::Array& array) {
  return static_cast<const arrow::ExtensionType&>(*array.type()).extension_name();
}
const arrow::Array& storage(const arrow::Array& array) {
  return *static_cast<const arrow::ExtensionArray&>(array).storage();
}

// A map with text keys is an object, any other a list of pairs.
void append_map(std::string& out, const arrow::MapArray& map, std::int64_t row) {
  const bool object = map.map_type()->key_type()->id() == arrow::Type::STRING;
  const std::int64_t from = map.value_offset(row);
  out += object ? '{' : '[';
  for (std::int64_t i = 0; i < map.value_length(row); ++i) {
    if (i > 0) out += ',';
    if (!object) out += '[';
    append_json(out, *map.keys(), from + i);
    out += object ? ':' : ',';
    append_json(out, *map.items(), from + i);
    if (!object) out += ']';
  }
  out += object ? '}' : ']';
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) {
    out += "null";
    return;
  }
  switch (array.type_id()) {
    case arrow::Type::LIST:
      return append_list<arrow::ListArray>(out, array, row);
    case arrow::Type::LARGE_LIST:
      return append_list<arrow::LargeListArray>(out, array, row);
    case arrow::Type::FIXED_SIZE_LIST:
      return append_list<arrow::FixedSizeListArray>(out, array, row);
    case arrow::Type::LIST_VIEW:
      return append_list<arrow::ListViewArray>(out, array, row);
    case arrow::Type::LARGE_LIST_VIEW:
      return append_list<arrow::LargeListViewArray>(out, array, row);
    case arrow::Type::STRUCT:
      return append_struct(out, static_cast<const arrow::StructArray&>(array), row);
    case arrow::Type::MAP:
      return append_map(out, static_cast<const arrow::MapArray&>(array), row);
    case arrow::Type::DICTIONARY: {
      const auto& d = static_cast<const arrow::DictionaryArray&>(array);
      return append_json(out, *d.dictionary(), d.GetValueIndex(row));
    }
    case arrow::Type::EXTENSION:
      if (extension_name(array) == "arrow.uuid") break;
      if (extension_name(array) == "arrow.json") return append_text(out, storage(array), row);
      return append_json(out, storage(array), row);
    default:
      break;
  }
  std::string text;
  append_text(text, array, row);
  const arrow::Type::type id = array.type_id();
  const bool real = id == arrow::Type::FLOAT || id == arrow::Type::DOUBLE;
  const bool bare = id == arrow::Type::BOOL || arrow::is_integer(id) || arrow::is_decimal(id) ||
                    (real && text.find_first_of("ni") == std::string::npos);
  if (bare) {
    out += text;
  } else {
    append_json_string(out, text);
  }
}

void append_text(std::string& out, const arrow::Array& a, std::int64_t row) {
  if (append_whole(out, a, row)) return;
  switch (a.type_id()) {
    case arrow::Type::BOOL:
      out += static_cast<const arrow::BooleanArray&>(a).Value(row) ? "true" : "false";
      return;
    case arrow::Type::FLOAT:
      return append_number(out, static_cast<const arrow::FloatArray&>(a).Value(row));
    case arrow::Type::DOUBLE:
      return append_number(out, static_cast<const arrow::DoubleArray&>(a).Value(row));
    case arrow::Type::DECIMAL128:
      return append_decimal_of<arrow::Decimal128Array, arrow::Decimal128>(out, a, row);
    case arrow::Type::DECIMAL256:
      return append_decimal_of<arrow::Decimal256Array, arrow::Decimal256>(out, a, row);
    case arrow::Type::STRING:
      out += view<arrow::StringArray>(a, row);
      return;
    case arrow::Type::LARGE_STRING:
      out += view<arrow::LargeStringArray>(a, row);
      return;
    case arrow::Type::STRING_VIEW:
      out += view<arrow::StringViewArray>(a, row);
      return;
    case arrow::Type::BINARY:
      out += arrow::util::base64_encode(view<arrow::BinaryArray>(a, row));
      return;
    case arrow::Type::LARGE_BINARY:
      out += arrow::util::base64_encode(view<arrow::LargeBinaryArray>(a, row));
      return;
    case arrow::Type::BINARY_VIEW:
      out += arrow::util::base64_encode(view<arrow::BinaryViewArray>(a, row));
      return;
    case arrow::Type::FIXED_SIZE_BINARY:
      out += arrow::util::base64_encode(view<arrow::FixedSizeBinaryArray>(a, row));
      return;
    case arrow::Type::DATE32:
      return append_date(out, static_cast<const arrow::Date32Array&>(a).Value(row));
    case arrow::Type::DATE64:
      return append_date(out, static_cast<const arrow::Date64Array&>(a).Value(row) / 86'400'000);
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return append_clock(out, time_value(a, row),
                          per_second(static_cast<const arrow::TimeType&>(*a.type()).unit()));
    case arrow::Type::TIMESTAMP:
      return append_timestamp(out, static_cast<const arrow::TimestampArray&>(a).Value(row),
                              static_cast<const arrow::TimestampType&>(*a.type()));
    case arrow::Type::DICTIONARY: {
      const auto& d = static_cast<const arrow::DictionaryArray&>(a);
      return append_text(out, *d.dictionary(), d.GetValueIndex(row));
    }
    case arrow::Type::DURATION:
      return append_duration(out, static_cast<const arrow::DurationArray&>(a).Value(row),
                             static_cast<const arrow::DurationType&>(*a.type()).unit());
    case arrow::Type::EXTENSION:
      if (extension_name(a) != "arrow.uuid") return append_text(out, storage(a), row);
      return append_uuid(out, view<arrow::FixedSizeBinaryArray>(storage(a), row));
    case arrow::Type::LIST:
    case arrow::Type::LARGE_LIST:
    case arrow::Type::FIXED_SIZE_LIST:
    case arrow::Type::LIST_VIEW:
    case arrow::Type::LARGE_LIST_VIEW:
    case arrow::Type::STRUCT:
    case arrow::Type::MAP:
      return append_json(out, a, row);
    default:
      break;
  }
  const auto scalar = a.GetScalar(row);  // intervals, half floats, unions
  if (scalar.ok()) out += (*scalar)->ToString();
}

}  // namespace tidegate::engine::file
