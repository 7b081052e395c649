#include "engine/connectors/mysql/row_encoder.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace tidegate::engine::mysql {
namespace {

constexpr std::int64_t kFirstDay = -719'528, kLastDay = 2'932'896;  // 0000-01-01, 9999-12-31
constexpr std::int64_t kSecondsOfDay = 86'400;

template <class ArrayType>
class Encoder : public ValueEncoder {
 public:
  void attach(const std::shared_ptr<arrow::Array>& column) override {
    array_ = std::static_pointer_cast<ArrayType>(column);
  }
  std::string why_not(std::int64_t) const override { return {}; }

 protected:
  std::shared_ptr<ArrayType> array_;
};

class BoolEncoder final : public Encoder<arrow::BooleanArray> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    out += array_->Value(row) ? '1' : '0';
  }
};

template <class ArrayType>
class IntEncoder final : public Encoder<ArrayType> {
 public:
  void put(std::string& out, std::int64_t row) const override {
    fmt::format_to(std::back_inserter(out), "{}", +this->array_->Value(row));
  }
};

template <class ArrayType>
class FloatEncoder final : public Encoder<ArrayType> {
 public:
  std::string why_not(std::int64_t row) const override {
    return std::isfinite(this->array_->Value(row))
               ? ""
               : fmt::format("{} is no number that MySQL can hold", this->array_->Value(row));
  }
  // The shortest text that is read as the same double: that of a float may lie above the largest
  // float, from which MySQL would cut.
  void put(std::string& out, std::int64_t row) const override {
    fmt::format_to(std::back_inserter(out), "{}", double{this->array_->Value(row)});
  }
};

class DecimalEncoder final : public Encoder<arrow::Decimal128Array> {
 public:
  explicit DecimalEncoder(int scale) : scale_(scale) {}
  void put(std::string& out, std::int64_t row) const override {
    const arrow::Decimal128 value(array_->GetValue(row));
    std::string digits = arrow::Decimal128(arrow::Decimal128::Abs(value)).ToIntegerString();
    if (value.IsNegative()) out += '-';
    if (scale_ <= 0) {
      out += digits;
      out.append(digits == "0" ? 0 : static_cast<std::size_t>(-scale_), '0');
      return;
    }
    const auto scale = static_cast<std::size_t>(scale_);
    if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
    out.append(digits, 0, digits.size() - scale);
    out += '.';
    out.append(digits, digits.size() - scale);
  }

 private:
  const int scale_;
};

// Characters, of valid UTF-8.
std::int64_t characters(std::string_view text) {
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

template <class ArrayType>
class TextEncoder final : public Encoder<ArrayType> {
 public:
  explicit TextEncoder(int length) : length_(length) {}
  bool needs_escapes() const override { return true; }
  std::string why_not(std::int64_t row) const override {
    const std::string_view text = this->array_->GetView(row);
    if (!is_utf8(text)) return "is not valid UTF-8";
    if (length_ == 0 || characters(text) <= length_) return {};
    return fmt::format(
        "is longer than the {} characters that a column of a key has here; name another key",
        length_);
  }
  void put(std::string& out, std::int64_t row) const override { out += this->array_->GetView(row); }

 private:
  const int length_;
};

template <class ArrayType>
class BytesEncoder final : public Encoder<ArrayType> {
 public:
  explicit BytesEncoder(int length) : length_(length) {}
  bool needs_escapes() const override { return true; }
  std::string why_not(std::int64_t row) const override {
    const auto size = static_cast<std::int64_t>(this->array_->GetView(row).size());
    if (length_ == 0 || size <= length_) return {};
    return fmt::format(
        "is longer than the {} bytes that a column of a key has here; name another key", length_);
  }
  void put(std::string& out, std::int64_t row) const override { out += this->array_->GetView(row); }

 private:
  const int length_;
};

void put_day(std::string& out, std::int64_t days) {
  const std::chrono::year_month_day d{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(days)))};
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}", static_cast<int>(d.year()),
                 static_cast<unsigned>(d.month()), static_cast<unsigned>(d.day()));
}

void put_clock(std::string& out, std::int64_t second, std::int64_t micros) {
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60,
                 second % 60);
  if (micros != 0) fmt::format_to(std::back_inserter(out), ".{:06}", micros);
}

class DateEncoder final : public Encoder<arrow::Date32Array> {
 public:
  std::string why_not(std::int64_t row) const override {
    const std::int64_t day = array_->Value(row);
    return day >= kFirstDay && day <= kLastDay
               ? ""
               : "is a date outside the years 0 to 9999, which MySQL cannot hold";
  }
  void put(std::string& out, std::int64_t row) const override { put_day(out, array_->Value(row)); }
};

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

// Times of a day, or (kDated) since 1970.
template <class ArrayType, bool kDated>
class TicksEncoder final : public Encoder<ArrayType> {
 public:
  explicit TicksEncoder(arrow::TimeUnit::type unit) : ticks_(ticks_per_second(unit)) {}

  std::string why_not(std::int64_t row) const override {
    const auto v = static_cast<std::int64_t>(this->array_->Value(row));
    if (ticks_ > 1'000'000 && v % (ticks_ / 1'000'000) != 0)
      return "has nanoseconds, and MySQL holds microseconds";
    const std::int64_t day = days(v);
    if (kDated && (day < kFirstDay || day > kLastDay))
      return "is a time outside the years 0 to 9999, which MySQL cannot hold";
    if (!kDated && day != 0) return "is no time of a day";
    return {};
  }
  void put(std::string& out, std::int64_t row) const override {
    const auto v = static_cast<std::int64_t>(this->array_->Value(row));
    const std::int64_t day = days(v), rest = v - day * kSecondsOfDay * ticks_;
    if (kDated) {
      put_day(out, day);
      out += ' ';
    }
    const std::int64_t part = rest % ticks_;
    put_clock(out, rest / ticks_,
              ticks_ > 1'000'000 ? part / (ticks_ / 1'000'000) : part * (1'000'000 / ticks_));
  }

 private:
  // Rounded down.
  std::int64_t days(std::int64_t v) const {
    const std::int64_t day = kSecondsOfDay * ticks_;
    return v / day - (v % day < 0 ? 1 : 0);
  }
  const std::int64_t ticks_;
};

class NullEncoder final : public Encoder<arrow::Array> {
 public:
  void put(std::string&, std::int64_t) const override {}
};

template <class T, class... Args>
Result<std::unique_ptr<ValueEncoder>> make_one(Args&&... args) {
  return std::make_unique<T>(std::forward<Args>(args)...);
}

void put_escaped(std::string& out, std::string_view value, RowFormat format) {
  for (const char c : value) {
    const bool load = format == RowFormat::Load;
    if (c == '\0') {
      out += "\\0";
    } else if (c == '\\' || (load ? c == '\t' || c == '\n' : c == '\'')) {
      out += '\\';
      out += load && c == '\t' ? 't' : load && c == '\n' ? 'n' : c;
    } else {
      out += c;
    }
  }
}

}  // namespace

Result<std::unique_ptr<ValueEncoder>> ValueEncoder::make(const arrow::Field& field,
                                                         const TargetType& target) {
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
      return make_one<NullEncoder>();
    case arrow::Type::BOOL:
      return make_one<BoolEncoder>();
    case arrow::Type::INT8:
      return make_one<IntEncoder<arrow::Int8Array>>();
    case arrow::Type::UINT8:
      return make_one<IntEncoder<arrow::UInt8Array>>();
    case arrow::Type::INT16:
      return make_one<IntEncoder<arrow::Int16Array>>();
    case arrow::Type::UINT16:
      return make_one<IntEncoder<arrow::UInt16Array>>();
    case arrow::Type::INT32:
      return make_one<IntEncoder<arrow::Int32Array>>();
    case arrow::Type::UINT32:
      return make_one<IntEncoder<arrow::UInt32Array>>();
    case arrow::Type::INT64:
      return make_one<IntEncoder<arrow::Int64Array>>();
    case arrow::Type::UINT64:
      return make_one<IntEncoder<arrow::UInt64Array>>();
    case arrow::Type::FLOAT:
      return make_one<FloatEncoder<arrow::FloatArray>>();
    case arrow::Type::DOUBLE:
      return make_one<FloatEncoder<arrow::DoubleArray>>();
    case arrow::Type::DECIMAL128:
      return make_one<DecimalEncoder>(static_cast<const arrow::DecimalType&>(type).scale());
    case arrow::Type::STRING:
      return make_one<TextEncoder<arrow::StringArray>>(target.length);
    case arrow::Type::LARGE_STRING:
      return make_one<TextEncoder<arrow::LargeStringArray>>(target.length);
    case arrow::Type::BINARY:
      return make_one<BytesEncoder<arrow::BinaryArray>>(target.length);
    case arrow::Type::LARGE_BINARY:
      return make_one<BytesEncoder<arrow::LargeBinaryArray>>(target.length);
    case arrow::Type::FIXED_SIZE_BINARY:
      return make_one<BytesEncoder<arrow::FixedSizeBinaryArray>>(target.length);
    case arrow::Type::DATE32:
      return make_one<DateEncoder>();
    case arrow::Type::TIME32:
      return make_one<TicksEncoder<arrow::Time32Array, false>>(
          static_cast<const arrow::TimeType&>(type).unit());
    case arrow::Type::TIME64:
      return make_one<TicksEncoder<arrow::Time64Array, false>>(
          static_cast<const arrow::TimeType&>(type).unit());
    case arrow::Type::TIMESTAMP:
      return make_one<TicksEncoder<arrow::TimestampArray, true>>(
          static_cast<const arrow::TimestampType&>(type).unit());
    default:
      return fail(Code::Unsupported, fmt::format("column \"{}\" is of a type that has no form in "
                                                 "MySQL",
                                                 field.name()));
  }
}

Result<RowEncoder> RowEncoder::make(const arrow::Schema& schema,
                                    const std::vector<TargetType>& types, std::int64_t max_row) {
  RowEncoder encoder;
  encoder.max_row_ = max_row;
  encoder.no_null_.resize(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const arrow::Field& field = *schema.field(static_cast<int>(i));
    TG_TRY(encoder.columns_.emplace_back(), ValueEncoder::make(field, types[i]));
    encoder.names_.push_back(field.name());
  }
  return encoder;
}

// "": it was added to `out`; else why not.
std::string RowEncoder::row(const arrow::RecordBatch& batch, std::int64_t row, RowFormat format,
                            std::string& out) {
  const bool load = format == RowFormat::Load;
  std::string why;
  for (int c = 0; c < batch.num_columns(); ++c) {
    const auto i = static_cast<std::size_t>(c);
    const auto& column = columns_[i];
    const auto refuse = [&](std::string_view fault) {
      why += fmt::format("{}column \"{}\": {}", why.empty() ? "" : "; ", names_[i], fault);
    };
    out += load ? '\t' : ',';
    if (batch.column(c)->IsNull(row)) {
      out += load ? "\\N" : "NULL";
      if (no_null_[i]) refuse("is NULL, in whose place MySQL would put a value of its own");
      continue;
    }
    if (std::string fault = column->why_not(row); !fault.empty()) {
      refuse(fault);
      continue;
    }
    if (!load) out += column->needs_escapes() ? "_binary'" : "'";
    if (column->needs_escapes()) {
      value_.clear();
      column->put(value_, row);
      put_escaped(out, value_, format);
    } else {
      column->put(out, row);
    }
    if (!load) out += '\'';
  }
  out += load ? '\n' : ')';
  return why;
}

RowEncoder::Encoded RowEncoder::put(const arrow::RecordBatch& batch, RowFormat format,
                                    std::int64_t first, std::size_t piece) {
  for (int c = 0; c < batch.num_columns(); ++c)
    columns_[static_cast<std::size_t>(c)]->attach(batch.column(c));
  Encoded out;
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    if (out.pieces.empty() || out.pieces.back().size() >= piece) out.pieces.emplace_back();
    std::string& text = out.pieces.back();
    const std::size_t begin = text.size();
    if (format == RowFormat::Insert) text += begin == 0 ? "(" : ",(";
    fmt::format_to(std::back_inserter(text), "{}", first + out.rows);
    std::string why = this->row(batch, row, format, text);
    if (why.empty() && static_cast<std::int64_t>(text.size() - begin) > max_row_) {
      why = fmt::format(
          "the row is longer than the {} bytes that the server takes; raise its "
          "max_allowed_packet, or leave columns out",
          max_row_);
    }
    if (why.empty()) {
      ++out.rows;
      continue;
    }
    text.resize(begin);
    out.refused.push_back({row, std::move(why)});
  }
  std::erase_if(out.pieces, [](const std::string& p) { return p.empty(); });
  return out;
}

}  // namespace tidegate::engine::mysql
