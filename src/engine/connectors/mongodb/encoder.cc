#include "engine/connectors/mongodb/encoder.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/core/cursor.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

using arrow::Type;

int length(std::string_view key) { return static_cast<int>(key.size()); }

std::string too_long(std::size_t bytes) {
  return fmt::format(
      "has {} bytes, and a document of MongoDB takes at most {}; leave the column out, or "
      "shorten the value in the source",
      bytes, kMaxDocument);
}

std::string append_text(bson_t* to, std::string_view key, std::string_view text) {
  if (!bson_utf8_validate(text.data(), text.size(), true)) {
    return "is not valid UTF-8, which MongoDB needs; correct it in the source, or leave the column "
           "out";
  }
  if (text.size() > kMaxDocument) {
    return too_long(text.size());
  }
  bson_append_utf8(to, key.data(), length(key), text.data(), length(text));
  return {};
}

std::string append_decimal(bson_t* to, std::string_view key, const std::string& text) {
  bson_decimal128_t value;
  if (!exact_decimal(text, value)) {
    return fmt::format(
        "{} has more than the 34 digits of a Decimal128; round it in the source, or "
        "copy it as text",
        text);
  }
  bson_append_decimal128(to, key.data(), length(key), &value);
  return {};
}

template <class Array>
std::string append_small(bson_t* to, std::string_view key, const arrow::Array& a,
                         std::int64_t row) {
  bson_append_int32(to, key.data(), length(key), static_cast<const Array&>(a).Value(row));
  return {};
}

template <class Array>
std::string append_whole(bson_t* to, std::string_view key, const arrow::Array& a,
                         std::int64_t row) {
  bson_append_int64(to, key.data(), length(key),
                    static_cast<std::int64_t>(static_cast<const Array&>(a).Value(row)));
  return {};
}

template <class Array>
std::string append_real(bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
  bson_append_double(to, key.data(), length(key),
                     static_cast<double>(static_cast<const Array&>(a).Value(row)));
  return {};
}

std::string append_unsigned(bson_t* to, std::string_view key, const arrow::Array& a,
                            std::int64_t row) {
  const std::uint64_t v = static_cast<const arrow::UInt64Array&>(a).Value(row);
  if (v > std::numeric_limits<std::int64_t>::max()) {
    return append_decimal(to, key, std::to_string(v));
  }
  bson_append_int64(to, key.data(), length(key), static_cast<std::int64_t>(v));
  return {};
}

template <class Array>
std::string append_bytes(bson_t* to, std::string_view key, const arrow::Array& a,
                         std::int64_t row) {
  const auto bytes = static_cast<const Array&>(a).GetView(row);
  if (bytes.size() > kMaxDocument) {
    return too_long(bytes.size());
  }
  bson_append_binary(to, key.data(), length(key), BSON_SUBTYPE_BINARY,
                     reinterpret_cast<const std::uint8_t*>(bytes.data()),
                     static_cast<std::uint32_t>(bytes.size()));
  return {};
}

std::int64_t per_second(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1;
    case arrow::TimeUnit::MILLI:
      return 1'000;
    case arrow::TimeUnit::MICRO:
      return 1'000'000;
    case arrow::TimeUnit::NANO:
      return 1'000'000'000;
  }
  return 1;
}

// How many digits a unit has behind the second.
int digits_of(arrow::TimeUnit::type unit) { return 3 * static_cast<int>(unit); }

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

constexpr std::int64_t kYear0 = -62'167'219'200, kYear10000 = 253'402'300'800;  // seconds

// `2026-01-31T09:00:00.123456Z`, with all digits of the unit, so that texts sort as the times do.
std::string iso_text(std::int64_t v, const arrow::TimestampType& type) {
  const std::int64_t per = per_second(type.unit());
  const std::int64_t seconds = floor_div(v, per);
  std::string text = CursorValue::timestamp_ns(Int128{seconds} * 1'000'000'000).to_string();
  text.pop_back();  // Z
  if (const int digits = digits_of(type.unit()); digits > 0) {
    text += fmt::format(".{:0{}}", v - seconds * per, digits);
  }
  return text + (type.timezone().empty() ? "" : "Z");
}

std::string append_timestamp(bson_t* to, std::string_view key, const arrow::Array& a,
                             std::int64_t row, Timestamps how) {
  const auto& type = static_cast<const arrow::TimestampType&>(*a.type());
  const std::int64_t v = static_cast<const arrow::TimestampArray&>(a).Value(row);
  const std::int64_t per = per_second(type.unit());
  if (per <= 1'000) {
    std::int64_t ms = 0;
    if (__builtin_mul_overflow(v, 1'000 / per, &ms)) return "is no date that MongoDB can hold";
    bson_append_date_time(to, key.data(), length(key), ms);
    return {};
  }
  if (how == Timestamps::Text) {
    const std::int64_t seconds = floor_div(v, per);
    if (seconds < kYear0 || seconds >= kYear10000) {
      return "is a time outside the years 0000 to 9999, which has no text that sorts as the times "
             "do; correct it in the source, or set `timestamps` of the destination to `date`";
    }
    return append_text(to, key, iso_text(v, type));
  }
  const std::int64_t step = per / 1'000;
  if (how == Timestamps::Date && v % step != 0) {
    return fmt::format(
        "{} has digits below a millisecond, which a date of MongoDB does not hold; "
        "set `timestamps` of the destination to `text`, or to `truncate` to cut them",
        iso_text(v, type));
  }
  bson_append_date_time(to, key.data(), length(key), floor_div(v, step));
  return {};
}

std::string append_time(bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
  const auto unit = static_cast<const arrow::TimeType&>(*a.type()).unit();
  const std::int64_t v = a.type_id() == Type::TIME32
                             ? static_cast<const arrow::Time32Array&>(a).Value(row)
                             : static_cast<const arrow::Time64Array&>(a).Value(row);
  const std::int64_t per = per_second(unit), seconds = v / per;
  std::string text =
      fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (const int digits = digits_of(unit); digits > 0) {
    text += fmt::format(".{:0{}}", v % per, digits);
  }
  return append_text(to, key, text);
}

std::string append_day(bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
  constexpr std::int64_t kMsADay = 86'400'000;
  const std::int64_t days = static_cast<const arrow::Date32Array&>(a).Value(row);
  bson_append_date_time(to, key.data(), length(key), days * kMsADay);
  return {};
}

template <class Array>
std::string append_string(bson_t* to, std::string_view key, const arrow::Array& a,
                          std::int64_t row) {
  return append_text(to, key, static_cast<const Array&>(a).GetView(row));
}

std::string append_json_text(bson_t* to, std::string_view key, const arrow::Array& a,
                             std::int64_t row) {
  return append_json(to, key, static_cast<const arrow::StringArray&>(a).GetView(row));
}

}  // namespace

std::string bson_type_words(const arrow::Field& field, Timestamps timestamps) {
  const arrow::DataType& type = *field.type();
  if (is_json(field)) return "document, array or value (Extended JSON restored)";
  switch (type.id()) {
    case Type::NA:
      return "null";
    case Type::BOOL:
      return "bool";
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::UINT8:
    case Type::UINT16:
      return "int";
    case Type::UINT32:
    case Type::INT64:
      return "long";
    case Type::UINT64:
      return "long, beyond it decimal";
    case Type::FLOAT:
    case Type::DOUBLE:
      return "double";
    case Type::DECIMAL128:
      return "decimal (34 digits)";
    case Type::STRING:
    case Type::LARGE_STRING:
      return "string";
    case Type::BINARY:
    case Type::LARGE_BINARY:
    case Type::FIXED_SIZE_BINARY:
      return "binData";
    case Type::DATE32:
      return "date (midnight UTC)";
    case Type::TIME32:
    case Type::TIME64:
      return "string (`09:00:00.123456`)";
    case Type::TIMESTAMP: {
      const bool fine = per_second(static_cast<const arrow::TimestampType&>(type).unit()) > 1'000;
      return fine && timestamps == Timestamps::Text ? "string (`2026-01-31T09:00:00.123456Z`)"
                                                    : "date";
    }
    default:
      return {};
  }
}

Doc with_id(const Doc& id) {
  const auto value = find_value(*id.get(), "_id");
  Doc equal;
  equal.put_value("$eq", value->raw);
  return Doc().put("_id", equal);
}

DocumentEncoder::Append DocumentEncoder::appender(const arrow::Field& field, Timestamps how) {
  if (is_json(field)) return &append_json_text;
  switch (field.type()->id()) {
    case Type::NA:
      return [](bson_t*, std::string_view, const arrow::Array&, std::int64_t) {
        return std::string();
      };
    case Type::BOOL:
      return [](bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
        bson_append_bool(to, key.data(), length(key),
                         static_cast<const arrow::BooleanArray&>(a).Value(row));
        return std::string();
      };
    case Type::INT8:
      return &append_small<arrow::Int8Array>;
    case Type::INT16:
      return &append_small<arrow::Int16Array>;
    case Type::INT32:
      return &append_small<arrow::Int32Array>;
    case Type::UINT8:
      return &append_small<arrow::UInt8Array>;
    case Type::UINT16:
      return &append_small<arrow::UInt16Array>;
    case Type::UINT32:
      return &append_whole<arrow::UInt32Array>;
    case Type::INT64:
      return &append_whole<arrow::Int64Array>;
    case Type::UINT64:
      return &append_unsigned;
    case Type::FLOAT:
      return &append_real<arrow::FloatArray>;
    case Type::DOUBLE:
      return &append_real<arrow::DoubleArray>;
    case Type::DECIMAL128:
      return [](bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
        return append_decimal(to, key,
                              static_cast<const arrow::Decimal128Array&>(a).FormatValue(row));
      };
    case Type::STRING:
      return &append_string<arrow::StringArray>;
    case Type::LARGE_STRING:
      return &append_string<arrow::LargeStringArray>;
    case Type::BINARY:
      return &append_bytes<arrow::BinaryArray>;
    case Type::LARGE_BINARY:
      return &append_bytes<arrow::LargeBinaryArray>;
    case Type::FIXED_SIZE_BINARY:
      return &append_bytes<arrow::FixedSizeBinaryArray>;
    case Type::DATE32:
      return &append_day;
    case Type::TIME32:
    case Type::TIME64:
      return &append_time;
    case Type::TIMESTAMP:
      return [how](bson_t* to, std::string_view key, const arrow::Array& a, std::int64_t row) {
        return append_timestamp(to, key, a, row, how);
      };
    default:
      return nullptr;
  }
}

Result<DocumentEncoder> DocumentEncoder::make(const arrow::Schema& schema,
                                              const std::vector<int>& fields,
                                              const std::vector<std::string>& key,
                                              Timestamps timestamps) {
  DocumentEncoder out;
  for (const int i : fields) {
    const arrow::Field& field = *schema.field(i);
    Column column{i, field.name(), appender(field, timestamps)};
    if (!column.append) {
      return fail(Code::Unsupported,
                  fmt::format("column \"{}\": MongoDB has no type for {}; leave it out, or copy it "
                              "as text",
                              field.name(), type_words(field)));
    }
    out.columns_.push_back(std::move(column));
  }
  for (const auto& name : key) {
    const auto column = std::ranges::find(out.columns_, name, &Column::name);
    if (column != out.columns_.end()) out.key_.push_back(*column);
  }
  // The key itself is not written a second time.
  std::erase_if(out.columns_, [](const Column& c) { return c.name == "_id"; });
  return out;
}

std::string DocumentEncoder::append_id(Doc& to, const arrow::RecordBatch& batch,
                                       std::int64_t row) const {
  Doc parts;
  for (const Column& c : key_) {
    const arrow::Array& values = *batch.column(c.field);
    std::string why = values.IsNull(row) ? "is NULL, and a key cannot be"
                                         : c.append(parts.get(), c.name, values, row);
    if (!why.empty()) return fmt::format("column \"{}\": {}", c.name, why);
  }
  if (key_.size() > 1) {
    to.put("_id", parts);
    return {};
  }
  const auto value = find_value(*parts.get(), key_.front().name.c_str());
  const char* what = !value || BSON_ITER_HOLDS_ARRAY(&value->raw) ? "an array"
                     : BSON_ITER_HOLDS_REGEX(&value->raw)         ? "a regular expression"
                     : BSON_ITER_HOLDS_UNDEFINED(&value->raw)     ? "undefined"
                                                                  : nullptr;
  if (what != nullptr) {
    return fmt::format(
        "column \"{}\": holds {}, which cannot be the key of a document; name another key",
        key_.front().name, what);
  }
  to.put_value("_id", value->raw);
  return {};
}

std::vector<DocumentEncoder::Refused> DocumentEncoder::encode(
    const arrow::RecordBatch& batch, const std::function<void(std::int64_t row, Row)>& take) const {
  std::vector<Refused> refused;
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    Row out;
    std::string why = key_.empty() ? "" : append_id(out.id, batch, row);
    for (const Column& c : columns_) {
      if (!why.empty()) break;
      const arrow::Array& values = *batch.column(c.field);
      if (values.IsNull(row)) {
        out.fields.put_null(c.name);
        continue;
      }
      why = c.append(out.fields.get(), c.name, values, row);
      if (!why.empty()) why = fmt::format("column \"{}\": {}", c.name, why);
    }
    if (why.empty() && out.fields.get()->len + out.id.get()->len > kMaxDocument) {
      why = fmt::format(
          "the row needs {} bytes, and a document of MongoDB takes at most {}; leave "
          "columns out",
          out.fields.get()->len + out.id.get()->len, kMaxDocument);
    }
    if (why.empty()) {
      take(row, std::move(out));
    } else {
      refused.push_back({row, std::move(why)});
    }
  }
  return refused;
}

}  // namespace tidegate::engine::mongodb
