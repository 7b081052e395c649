#include "engine/connectors/postgres/copy_encoder.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "engine/connectors/postgres/jsonb_fault.h"
#include "engine/core/cursor.h"
#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

constexpr std::int64_t kEpochDays = 10'957;  // from 1970-01-01 to 2000-01-01
constexpr std::int64_t kEpochMicros = kEpochDays * 86'400'000'000;
// 4713-01-01 BC and 5874897-12-31, 294276-12-31: what date and timestamp can hold.
constexpr std::int64_t kFirstDay = -2'440'588, kLastDay = 2'145'031'948;
constexpr std::int64_t kFirstMicro = -210'866'803'200'000'000;  // of the year -4712, since 1970
constexpr std::int64_t kNoMicro = 9'223'371'331'200'000'000 - 1;
// What a field holds, with its header; a jsonb counts its own offsets.
constexpr std::size_t kMaxField = (std::size_t{1} << 30) - 5,
                      kMaxJsonb = (std::size_t{1} << 28) - 1;

void put_int(std::string& out, std::int64_t v, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    out += static_cast<char>(static_cast<std::uint64_t>(v) >> (8 * i) & 0xFFU);
  }
}

void put_bytes(std::string& out, std::string_view bytes) {
  put_int(out, static_cast<std::int64_t>(bytes.size()), 4);
  out += bytes;
}

// The base-10,000 digits of a decimal, as numeric_recv() wants them.
void put_numeric(std::string& out, Int128 v, int scale) {
  const bool negative = v < 0;
  unsigned __int128 left =
      negative ? -static_cast<unsigned __int128>(v) : static_cast<unsigned __int128>(v);
  std::vector<int> digits;  // last first; a group of four begins at the point
  constexpr int kPower[] = {1, 10, 100, 1'000, 10'000};
  if (const int part = scale % 4; part != 0) {
    digits.push_back(static_cast<int>(left % static_cast<unsigned>(kPower[part])) *
                     kPower[4 - part]);
    left /= static_cast<unsigned>(kPower[part]);
  }
  for (; left > 0; left /= 10'000) digits.push_back(static_cast<int>(left % 10'000));
  const int fraction = (scale + 3) / 4;
  const int weight = static_cast<int>(digits.size()) - fraction - 1;
  std::size_t zeros = 0;
  while (zeros < digits.size() && digits[zeros] == 0) ++zeros;
  const std::size_t count = digits.size() - zeros;
  put_int(out, static_cast<std::int64_t>(8 + 2 * count), 4);
  put_int(out, static_cast<std::int64_t>(count), 2);
  put_int(out, count == 0 ? 0 : weight, 2);
  put_int(out, negative && count > 0 ? 0x4000 : 0, 2);
  put_int(out, scale, 2);
  for (std::size_t i = digits.size(); i > zeros; --i) put_int(out, digits[i - 1], 2);
}

template <class ArrayType>
class Encoder : public ValueEncoder {
 public:
  Status attach(const std::shared_ptr<arrow::Array>& column) override {
    array_ = std::static_pointer_cast<ArrayType>(column);
    return {};
  }
  std::string why_not(std::int64_t) const override { return {}; }

 protected:
  std::shared_ptr<ArrayType> array_;
};

class BoolEncoder final : public Encoder<arrow::BooleanArray> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    put_int(out, 1, 4);
    out += array_->Value(row) ? '\1' : '\0';
  }
};

template <class ArrayType, int kBytes>
class IntEncoder final : public Encoder<ArrayType> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    put_int(out, kBytes, 4);
    put_int(out, static_cast<std::int64_t>(this->array_->Value(row)), kBytes);
  }
};

class UInt64Encoder final : public Encoder<arrow::UInt64Array> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    put_numeric(out, static_cast<Int128>(array_->Value(row)), 0);
  }
};

template <class ArrayType, class Bits>
class FloatEncoder final : public Encoder<ArrayType> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    put_int(out, sizeof(Bits), 4);
    put_int(out, static_cast<std::int64_t>(std::bit_cast<Bits>(this->array_->Value(row))),
            sizeof(Bits));
  }
};

class DecimalEncoder final : public Encoder<arrow::Decimal128Array> {
 public:
  explicit DecimalEncoder(int scale) : scale_(scale) {}
  void put(std::string& out, std::int64_t row) const override {
    const arrow::Decimal128 d(array_->GetValue(row));
    const Int128 v = static_cast<Int128>(d.high_bits()) << 64 | static_cast<Int128>(d.low_bits());
    put_numeric(out, v, scale_);
  }

 private:
  const int scale_;
};

std::string length_fault(std::size_t bytes, std::size_t max) {
  if (bytes <= max) return {};
  return fmt::format("has {} bytes, and PostgreSQL holds at most {}", bytes, max);
}

std::string text_fault(std::string_view text) {
  if (text.size() > kMaxField) return length_fault(text.size(), kMaxField);
  if (text.find('\0') != std::string_view::npos)
    return "holds a NUL character, which PostgreSQL's text cannot";
  return is_utf8(text) ? "" : "is not valid UTF-8";
}

template <class ArrayType>
class TextEncoder final : public Encoder<ArrayType> {
 public:
  std::string why_not(std::int64_t row) const override {
    return text_fault(this->array_->GetView(row));
  }
  void put(std::string& out, std::int64_t row) const override {
    put_bytes(out, this->array_->GetView(row));
  }
};

class JsonEncoder final : public Encoder<arrow::StringArray> {
 public:
  std::string why_not(std::int64_t row) const override {
    const std::string_view text = array_->GetView(row);
    if (text.size() > kMaxJsonb) return length_fault(text.size(), kMaxJsonb);
    std::string fault = text_fault(text);
    return fault.empty() ? jsonb_fault(text) : fault;
  }
  void put(std::string& out, std::int64_t row) const override {
    const std::string_view text = array_->GetView(row);
    put_int(out, static_cast<std::int64_t>(text.size() + 1), 4);
    out += '\1';
    out += text;
  }
};

template <class ArrayType>
class BytesEncoder final : public Encoder<ArrayType> {
 public:
  std::string why_not(std::int64_t row) const override {
    return length_fault(this->array_->GetView(row).size(), kMaxField);
  }
  void put(std::string& out, std::int64_t row) const override {
    put_bytes(out, this->array_->GetView(row));
  }
};

class DateEncoder final : public Encoder<arrow::Date32Array> {
 public:
  std::string why_not(std::int64_t row) const override {
    const std::int64_t day = array_->Value(row);
    return day >= kFirstDay && day <= kLastDay
               ? ""
               : "is a date before 4713 BC or after 5874897, which PostgreSQL cannot hold";
  }
  void put(std::string& out, std::int64_t row) const override {
    put_int(out, 4, 4);
    put_int(out, array_->Value(row) - kEpochDays, 4);
  }
};

// Ticks of a unit as microseconds; those that are no whole ones have no place.
std::int64_t ticks_per_second(arrow::TimeUnit::type unit) {
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

template <class ArrayType>
class TicksEncoder final : public Encoder<ArrayType> {
 public:
  TicksEncoder(arrow::TimeUnit::type unit, std::int64_t epoch, std::int64_t first, std::int64_t end)
      : ticks_(ticks_per_second(unit)), epoch_(epoch), first_(first), end_(end) {}

  std::string why_not(std::int64_t row) const override {
    const auto v = static_cast<std::int64_t>(this->array_->Value(row));
    if (ticks_ > 1'000'000 && v % (ticks_ / 1'000'000) != 0)
      return "has nanoseconds, and PostgreSQL holds microseconds";
    const Int128 micros = this->micros(v);
    return micros >= first_ && micros - epoch_ < end_ ? ""
                                                      : "is a time that PostgreSQL cannot hold";
  }
  void put(std::string& out, std::int64_t row) const override {
    put_int(out, 8, 4);
    put_int(out,
            static_cast<std::int64_t>(micros(static_cast<std::int64_t>(this->array_->Value(row))) -
                                      epoch_),
            8);
  }

 private:
  Int128 micros(std::int64_t v) const { return Int128{v} * 1'000'000 / ticks_; }
  const std::int64_t ticks_, epoch_, first_, end_;
};

class NullEncoder final : public Encoder<arrow::Array> {
 public:
  void put(std::string& out, std::int64_t) const override { put_int(out, -1, 4); }
};

template <class T, class... Args>
Result<std::unique_ptr<ValueEncoder>> make_one(Args&&... args) {
  return std::make_unique<T>(std::forward<Args>(args)...);
}

}  // namespace

Result<std::unique_ptr<ValueEncoder>> ValueEncoder::make(const arrow::Field& field) {
  const arrow::DataType& type = *field.type();
  if (is_json(field) && type.id() == arrow::Type::STRING) return make_one<JsonEncoder>();
  constexpr std::int64_t kDay = 86'400'000'000;
  switch (type.id()) {
    case arrow::Type::NA:
      return make_one<NullEncoder>();
    case arrow::Type::BOOL:
      return make_one<BoolEncoder>();
    case arrow::Type::INT8:
      return make_one<IntEncoder<arrow::Int8Array, 2>>();
    case arrow::Type::UINT8:
      return make_one<IntEncoder<arrow::UInt8Array, 2>>();
    case arrow::Type::INT16:
      return make_one<IntEncoder<arrow::Int16Array, 2>>();
    case arrow::Type::UINT16:
      return make_one<IntEncoder<arrow::UInt16Array, 4>>();
    case arrow::Type::INT32:
      return make_one<IntEncoder<arrow::Int32Array, 4>>();
    case arrow::Type::UINT32:
      return make_one<IntEncoder<arrow::UInt32Array, 8>>();
    case arrow::Type::INT64:
      return make_one<IntEncoder<arrow::Int64Array, 8>>();
    case arrow::Type::UINT64:
      return make_one<UInt64Encoder>();
    case arrow::Type::FLOAT:
      return make_one<FloatEncoder<arrow::FloatArray, std::uint32_t>>();
    case arrow::Type::DOUBLE:
      return make_one<FloatEncoder<arrow::DoubleArray, std::uint64_t>>();
    case arrow::Type::DECIMAL128:
      return make_one<DecimalEncoder>(static_cast<const arrow::DecimalType&>(type).scale());
    case arrow::Type::STRING:
      return make_one<TextEncoder<arrow::StringArray>>();
    case arrow::Type::LARGE_STRING:
      return make_one<TextEncoder<arrow::LargeStringArray>>();
    case arrow::Type::BINARY:
      return make_one<BytesEncoder<arrow::BinaryArray>>();
    case arrow::Type::LARGE_BINARY:
      return make_one<BytesEncoder<arrow::LargeBinaryArray>>();
    case arrow::Type::FIXED_SIZE_BINARY:
      return make_one<BytesEncoder<arrow::FixedSizeBinaryArray>>();
    case arrow::Type::DATE32:
      return make_one<DateEncoder>();
    case arrow::Type::TIME32:
      return make_one<TicksEncoder<arrow::Time32Array>>(
          static_cast<const arrow::TimeType&>(type).unit(), 0, 0, kDay);
    case arrow::Type::TIME64:
      return make_one<TicksEncoder<arrow::Time64Array>>(
          static_cast<const arrow::TimeType&>(type).unit(), 0, 0, kDay);
    case arrow::Type::TIMESTAMP:
      return make_one<TicksEncoder<arrow::TimestampArray>>(
          static_cast<const arrow::TimestampType&>(type).unit(), kEpochMicros, kFirstMicro,
          kNoMicro);
    default:
      return fail(
          Code::Unsupported,
          fmt::format("column \"{}\" is of a type that has no form in PostgreSQL", field.name()));
  }
}

Result<CopyEncoder> CopyEncoder::make(const arrow::Schema& schema) {
  CopyEncoder encoder;
  for (const auto& field : schema.fields()) {
    TG_TRY(encoder.columns_.emplace_back(), ValueEncoder::make(*field));
    encoder.names_.push_back(field->name());
  }
  return encoder;
}

std::string CopyEncoder::header() {
  std::string out("PGCOPY\n\377\r\n\0", 11);
  put_int(out, 0, 4);
  put_int(out, 0, 4);
  return out;
}

std::string CopyEncoder::trailer() { return std::string(2, '\377'); }

Result<std::vector<CopyEncoder::Refused>> CopyEncoder::put(const arrow::RecordBatch& batch,
                                                           std::string& out) {
  for (int c = 0; c < batch.num_columns(); ++c) {
    TG_CHECK(columns_[static_cast<std::size_t>(c)]->attach(batch.column(c)));
  }
  std::vector<Refused> refused;
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    const std::size_t begin = out.size();
    std::string why;
    put_int(out, batch.num_columns(), 2);
    for (int c = 0; c < batch.num_columns(); ++c) {
      const auto& column = columns_[static_cast<std::size_t>(c)];
      if (batch.column(c)->IsNull(row)) {
        put_int(out, -1, 4);
        continue;
      }
      if (std::string fault = column->why_not(row); !fault.empty()) {
        why += fmt::format("{}column \"{}\": {}", why.empty() ? "" : "; ",
                           names_[static_cast<std::size_t>(c)], fault);
        continue;
      }
      column->put(out, row);
    }
    if (why.empty()) continue;
    out.resize(begin);
    refused.push_back({row, std::move(why)});
  }
  return refused;
}

}  // namespace tidegate::engine::postgres
