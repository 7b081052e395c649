#include "engine/connectors/file/file_types.h"

#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/reader.h>
#include <arrow/ipc/writer.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <arrow/util/base64.h>

#include <algorithm>

#include "engine/connectors/file/parquet_types.h"
#include "engine/connectors/file/table_folder.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

constexpr int kMaxDigits = 38;       // of a decimal128
constexpr int kDigitsOfDouble = 15;  // decimals that come back from a double as they were

using arrow::Type;
using TypePtr = std::shared_ptr<arrow::DataType>;

struct Digits {
  int whole = 0, scale = 0;
};

// Of a whole number or a decimal, the most that a value has.
Digits digits_of(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::INT8:
    case Type::UINT8:
      return {3, 0};
    case Type::INT16:
    case Type::UINT16:
      return {5, 0};
    case Type::INT32:
    case Type::UINT32:
      return {10, 0};
    case Type::INT64:
      return {19, 0};
    case Type::UINT64:
      return {20, 0};
    default: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      return {d.precision() - d.scale(), d.scale()};
    }
  }
}

TypePtr whole_number(int bits, bool has_sign) {
  if (bits <= 8) return has_sign ? arrow::int8() : arrow::uint8();
  if (bits <= 16) return has_sign ? arrow::int16() : arrow::uint16();
  if (bits <= 32) return has_sign ? arrow::int32() : arrow::uint32();
  return has_sign ? arrow::int64() : arrow::uint64();
}

// Null: there is none.
TypePtr join_exact_numbers(const arrow::DataType& a, const arrow::DataType& b) {
  if (arrow::is_integer(a.id()) && arrow::is_integer(b.id())) {
    const bool a_signed = arrow::is_signed_integer(a.id());
    const bool b_signed = arrow::is_signed_integer(b.id());
    // Beside a number with a sign, one without needs one bit more.
    const int a_bits = a.bit_width() * (!a_signed && b_signed ? 2 : 1);
    const int b_bits = b.bit_width() * (a_signed && !b_signed ? 2 : 1);
    const int bits = std::max(a_bits, b_bits);
    return bits <= 64 ? whole_number(bits, a_signed || b_signed) : arrow::decimal128(20, 0);
  }
  const Digits x = digits_of(a), y = digits_of(b);
  const int scale = std::max(x.scale, y.scale), whole = std::max(x.whole, y.whole);
  if (whole + scale > kMaxDigits || a.id() == Type::DECIMAL256 || b.id() == Type::DECIMAL256) {
    return nullptr;
  }
  return arrow::decimal128(whole + scale, scale);
}

// Whole numbers of 64 bits and decimals have no exact form among fractions. Null: there is none.
TypePtr join_fractions(const arrow::DataType& a, const arrow::DataType& b) {
  int bits = 0;
  for (const arrow::DataType* t : {&a, &b}) {
    if (arrow::is_integer(t->id()) && t->bit_width() <= 32) {
      bits = std::max(bits, t->bit_width() == 32 ? 64 : 32);
    } else if (arrow::is_floating(t->id())) {
      bits = std::max(bits, t->bit_width());
    } else {
      return nullptr;
    }
  }
  return bits == 64 ? arrow::float64() : arrow::float32();
}

// A date has the unit of the other.
TypePtr join_times(const arrow::DataType& a, const arrow::DataType& b) {
  if (arrow::is_time(a.id()) && arrow::is_time(b.id())) {
    return static_cast<const arrow::TimeType&>(a).unit() >=
                   static_cast<const arrow::TimeType&>(b).unit()
               ? a.GetSharedPtr()
               : b.GetSharedPtr();
  }
  if (a.id() == Type::DATE32 || b.id() == Type::DATE32) {
    const arrow::DataType& other = a.id() == Type::DATE32 ? b : a;
    const bool local = other.id() == Type::TIMESTAMP &&
                       static_cast<const arrow::TimestampType&>(other).timezone().empty();
    return local ? other.GetSharedPtr() : nullptr;
  }
  if (a.id() != Type::TIMESTAMP || b.id() != Type::TIMESTAMP) return nullptr;
  const auto& x = static_cast<const arrow::TimestampType&>(a);
  const auto& y = static_cast<const arrow::TimestampType&>(b);
  if (x.timezone().empty() != y.timezone().empty()) return nullptr;
  return arrow::timestamp(std::max(x.unit(), y.unit()),
                          x.timezone() == y.timezone() ? x.timezone() : "UTC");
}

bool is_exact_number(const arrow::DataType& t) {
  return arrow::is_integer(t.id()) || arrow::is_decimal(t.id());
}
bool is_number(const arrow::DataType& t) {
  return is_exact_number(t) || arrow::is_floating(t.id());
}
bool is_bytes(const arrow::DataType& t) {
  return t.id() == Type::BINARY || t.id() == Type::FIXED_SIZE_BINARY;
}

}  // namespace

std::shared_ptr<arrow::Field> held_field(const arrow::Field& field) {
  std::shared_ptr<arrow::Field> out = plain(field);
  const bool json = is_json(*out);
  TypePtr type = out->type();
  if (type->id() == Type::DATE64) type = arrow::date32();
  if (type->id() == Type::TIME32) type = arrow::time32(arrow::TimeUnit::MILLI);
  if (type->id() == Type::TIMESTAMP) {
    const auto& t = static_cast<const arrow::TimestampType&>(*type);
    if (t.unit() == arrow::TimeUnit::SECOND) {
      type = arrow::timestamp(arrow::TimeUnit::MILLI, t.timezone());
    }
  }
  out = arrow::field(field.name(), std::move(type), true);
  return json ? mark_json(out) : out;
}

std::shared_ptr<arrow::Field> join_fields(const arrow::Field& a, const arrow::Field& b) {
  const arrow::DataType &x = *a.type(), &y = *b.type();
  const auto made = [&](const arrow::Field& like) { return like.WithName(a.name()); };
  if (y.id() == Type::NA || (x.Equals(y) && is_json(a) == is_json(b))) return made(a);
  if (x.id() == Type::NA) return made(b);
  TypePtr type;
  if (is_exact_number(x) && is_exact_number(y)) {
    type = join_exact_numbers(x, y);
  } else if (is_number(x) && is_number(y)) {
    type = join_fractions(x, y);
  } else if (is_bytes(x) || is_bytes(y)) {
    return is_bytes(x) && is_bytes(y) ? arrow::field(a.name(), arrow::binary()) : nullptr;
  } else if (arrow::is_temporal(x.id()) && arrow::is_temporal(y.id())) {
    type = join_times(x, y);
  }
  return arrow::field(a.name(), type ? std::move(type) : arrow::utf8());
}

bool holds(const arrow::Field& to, const arrow::Field& from) {
  const auto joined = join_fields(to, from);
  return joined && joined->type()->Equals(*to.type()) && is_json(*joined) == is_json(to);
}

JsonForm json_form(const arrow::Field& field) {
  if (is_json(field)) return JsonForm::Json;
  const arrow::DataType& type = *field.type();
  if (type.id() == Type::NA) return JsonForm::Nothing;
  if (type.id() == Type::BOOL) return JsonForm::Bool;
  if (arrow::is_decimal(type.id())) {
    const Digits d = digits_of(type);
    // Most readers make doubles of numbers, which keep no more digits.
    return d.whole + std::max(d.scale, 0) <= kDigitsOfDouble ? JsonForm::Number : JsonForm::String;
  }
  return is_number(type) ? JsonForm::Number : JsonForm::String;
}

Result<std::string> encode_types(const arrow::Schema& schema) {
  const auto bytes = arrow::ipc::SerializeSchema(schema);
  if (!bytes.ok()) return fail(from_arrow(bytes.status(), "writing the columns' types"));
  return arrow::util::base64_encode(std::string_view(**bytes));
}

Result<std::shared_ptr<arrow::Schema>> decode_types(const std::string& text,
                                                    const std::string& path) {
  const auto decode = [&]() -> arrow::Result<std::shared_ptr<arrow::Schema>> {
    ARROW_ASSIGN_OR_RAISE(const std::string bytes, arrow::util::base64_decode(text));
    arrow::io::BufferReader in(arrow::Buffer::FromString(bytes));
    arrow::ipc::DictionaryMemo memo;
    return arrow::ipc::ReadSchema(&in, &memo);
  };
  const auto schema = decode();
  if (!schema.ok()) return changed_by_somebody(path, schema.status().message());
  arrow::FieldVector fields;
  for (const auto& field : (*schema)->fields()) fields.push_back(held_field(*field));
  return arrow::schema(std::move(fields));
}

}  // namespace tidegate::engine::file
