#include "engine/connectors/file/columns.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/connectors/file/json_text.h"
#include "engine/connectors/file/swar.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

// Bytes that grow and then become an Arrow buffer. Allocation failure is std::bad_alloc, as for
// every container; it is caught at the engine's edge.
class Bytes {
 public:
  std::uint8_t* data() { return buffer_ ? buffer_->mutable_data() : nullptr; }
  // Room for `size` bytes; contents are kept, new ones undefined.
  void reserve(std::int64_t size) {
    if (buffer_ && size <= buffer_->size()) return;
    const std::int64_t wanted = std::max<std::int64_t>(size, buffer_ ? buffer_->size() * 2 : 4096);
    if (!buffer_) {
      auto made = arrow::AllocateResizableBuffer(wanted);
      if (!made.ok()) throw std::bad_alloc();
      buffer_ = std::move(*made);
    } else if (!buffer_->Resize(wanted, false).ok()) {
      throw std::bad_alloc();
    }
  }
  std::shared_ptr<arrow::Buffer> take(std::int64_t size) {
    reserve(size);
    if (!buffer_->Resize(size, false).ok()) throw std::bad_alloc();
    return std::shared_ptr<arrow::Buffer>(std::move(buffer_));
  }

 private:
  std::unique_ptr<arrow::ResizableBuffer> buffer_;
};

// One bit a row, 1: a value.
class Validity {
 public:
  void extend(std::int64_t length, std::int64_t more) {
    const std::int64_t old = (length + 7) / 8, now = (length + more + 7) / 8;
    bits_.reserve(now);
    if (now > old) std::memset(bits_.data() + old, 0xFF, static_cast<std::size_t>(now - old));
    // Bits behind the length may be left over from a truncation.
    for (std::int64_t i = length; i < std::min(old * 8, length + more); ++i) set(i);
  }
  void set(std::int64_t i) { bits_.data()[i / 8] |= static_cast<std::uint8_t>(1U << (i % 8)); }
  void clear(std::int64_t i) {
    bits_.data()[i / 8] &= static_cast<std::uint8_t>(~(1U << (i % 8)));
    ++nulls_;
  }
  void truncate(std::int64_t length, std::int64_t rows) {
    for (std::int64_t i = rows; i < length; ++i)
      nulls_ -= ((bits_.data()[i / 8] >> (i % 8)) & 1) == 0;
  }
  std::int64_t nulls() const { return nulls_; }
  std::shared_ptr<arrow::Buffer> take(std::int64_t length) {
    const bool any = std::exchange(nulls_, 0) > 0;
    auto buffer = bits_.take((length + 7) / 8);
    return any ? buffer : nullptr;
  }

 private:
  Bytes bits_;
  std::int64_t nulls_ = 0;
};

std::string fault_text(const std::string& column, std::string_view value, std::string_view what) {
  const bool cut = value.size() > 60;
  return fmt::format(
      "column \"{}\": '{}{}' is no {}; declare another type in `types` or correct it", column,
      value.substr(0, 60), cut ? "…" : "", what);
}

// Parser: `bool operator()(const char*, size_t, T&) const`, false when it is no such value.
template <class T, class Parser>
class FixedBuilder final : public ColumnBuilder {
 public:
  FixedBuilder(const arrow::Field& field, const NullWords& nulls, char quote, Parser parser)
      : name_(field.name()),
        type_(field.type()),
        words_(type_words(field)),
        nulls_(nulls),
        quote_(quote),
        parse_(parser) {}

  void append(const CsvRows& rows, std::size_t column, std::size_t from, std::size_t to,
              std::vector<CellFault>& faults) override {
    const auto more = static_cast<std::int64_t>(to - from);
    values_.reserve((length_ + more) * static_cast<std::int64_t>(sizeof(T)));
    validity_.extend(length_, more);
    T* out = reinterpret_cast<T*>(values_.data()) + length_;
    const CsvField* f = rows.fields.data() + from * rows.columns + column;
    for (std::size_t row = from; row < to; ++row, f += rows.columns, ++out, ++length_) {
      // A quoted empty text cannot be told from NULL where the type has no empty value.
      if (nulls_.is_null(*f, rows.base) || f->size() == 0) {
        *out = T{};
        validity_.clear(length_);
      } else if (f->escaped() || !parse_(rows.base + f->begin, f->size(), *out)) [[unlikely]] {
        *out = T{};
        validity_.clear(length_);
        faults.push_back({row, fault_text(name_, rows.value(*f, quote_), words_)});
      }
    }
  }
  void append_null() override {
    values_.reserve((length_ + 1) * static_cast<std::int64_t>(sizeof(T)));
    validity_.extend(length_, 1);
    reinterpret_cast<T*>(values_.data())[length_] = T{};
    validity_.clear(length_++);
  }
  void truncate(std::int64_t rows) override {
    validity_.truncate(length_, rows);
    length_ = rows;
  }
  std::int64_t length() const override { return length_; }
  std::int64_t bytes() const override { return length_ * static_cast<std::int64_t>(sizeof(T)); }

  Result<std::shared_ptr<arrow::Array>> finish() override {
    const std::int64_t length = std::exchange(length_, 0), nulls = validity_.nulls();
    auto bits = validity_.take(length);
    auto values = values_.take(length * static_cast<std::int64_t>(sizeof(T)));
    if constexpr (std::is_same_v<T, bool>) values = pack(*values, length);
    return arrow::MakeArray(arrow::ArrayData::Make(type_, length, {bits, values}, nulls));
  }

 private:
  static std::shared_ptr<arrow::Buffer> pack(const arrow::Buffer& bytes, std::int64_t length) {
    Bytes out;
    out.reserve((length + 7) / 8);
    std::memset(out.data(), 0, static_cast<std::size_t>((length + 7) / 8));
    for (std::int64_t i = 0; i < length; ++i) {
      out.data()[i / 8] |= static_cast<std::uint8_t>((bytes.data()[i] & 1U) << (i % 8));
    }
    return out.take((length + 7) / 8);
  }

  std::string name_;
  std::shared_ptr<arrow::DataType> type_;
  std::string words_;
  const NullWords& nulls_;
  char quote_;
  Parser parse_;
  Bytes values_;
  Validity validity_;
  std::int64_t length_ = 0;
};

template <class T, class Parser>
std::unique_ptr<ColumnBuilder> fixed(const arrow::Field& field, const NullWords& nulls, char quote,
                                     Parser parser) {
  return std::make_unique<FixedBuilder<T, Parser>>(field, nulls, quote, parser);
}

template <class T, class Value>
bool store(const std::optional<Value>& v, T& out) {
  if (v) out = static_cast<T>(*v);
  return v.has_value();
}

bool read_int(const char* p, std::size_t size, std::int64_t& out) {
  const bool negative = *p == '-';
  const std::size_t digits = size - negative;
  if (digits - 1 <= 7) {
    const std::uint64_t v = load_digits(p + negative, digits);
    if (all_digits(v)) {
      const auto n = static_cast<std::int64_t>(digits_value(v));
      out = negative ? -n : n;
      return true;
    }
  }
  return store(parse_int({p, size}), out);
}

// utf8, or JSON text.
class TextBuilder final : public ColumnBuilder {
 public:
  TextBuilder(const arrow::Field& field, const NullWords& nulls, char quote)
      : name_(field.name()), json_(is_json(field)), nulls_(nulls), quote_(quote) {}

  void append(const CsvRows& rows, std::size_t column, std::size_t from, std::size_t to,
              std::vector<CellFault>& faults) override {
    const auto more = static_cast<std::int64_t>(to - from);
    offsets_.reserve((length_ + more + 1) * 4);
    // Every text of the rows fits, and 16 bytes may be copied where fewer are meant.
    text_.reserve(size_ + rows.bytes + 16);
    validity_.extend(length_, more);
    auto* offsets = reinterpret_cast<std::int32_t*>(offsets_.data());
    std::uint8_t* text = text_.data();
    const CsvField* f = rows.fields.data() + from * rows.columns + column;
    for (std::size_t row = from; row < to; ++row, f += rows.columns, ++length_) {
      offsets[length_] = static_cast<std::int32_t>(size_);
      if (nulls_.is_null(*f, rows.base)) {
        validity_.clear(length_);
        continue;
      }
      const char* p = rows.base + f->begin;
      if (f->escaped()) {
        const std::string value = rows.value(*f, quote_);
        std::memcpy(text + size_, value.data(), value.size());
        size_ += static_cast<std::int64_t>(value.size());
      } else if (f->size() <= 16) {
        std::memcpy(text + size_, p, 16);
        size_ += f->size();
      } else {
        std::memcpy(text + size_, p, f->size());
        size_ += f->size();
      }
      if (json_) check_json(text, offsets[length_], row, faults);
    }
  }
  void append_null() override {
    offsets_.reserve((length_ + 2) * 4);
    validity_.extend(length_, 1);
    reinterpret_cast<std::int32_t*>(offsets_.data())[length_] = static_cast<std::int32_t>(size_);
    validity_.clear(length_++);
  }
  void truncate(std::int64_t rows) override {
    if (rows == length_) return;
    validity_.truncate(length_, rows);
    size_ = reinterpret_cast<const std::int32_t*>(offsets_.data())[rows];
    length_ = rows;
  }
  std::int64_t length() const override { return length_; }
  std::int64_t bytes() const override { return size_ + length_ * 4; }

  Result<std::shared_ptr<arrow::Array>> finish() override {
    offsets_.reserve((length_ + 1) * 4);
    reinterpret_cast<std::int32_t*>(offsets_.data())[length_] = static_cast<std::int32_t>(size_);
    const std::int64_t length = std::exchange(length_, 0), nulls = validity_.nulls();
    auto bits = validity_.take(length);
    auto offsets = offsets_.take((length + 1) * 4);
    auto text = text_.take(std::exchange(size_, 0));
    return arrow::MakeArray(
        arrow::ArrayData::Make(arrow::utf8(), length, {bits, offsets, text}, nulls));
  }

 private:
  void check_json(const std::uint8_t* text, std::int32_t from, std::size_t row,
                  std::vector<CellFault>& faults) {
    const std::string_view value(reinterpret_cast<const char*>(text) + from,
                                 static_cast<std::size_t>(size_ - from));
    if (!is_json_text(value)) {
      faults.push_back({row, fault_text(name_, value, "JSON")});
    }
  }

  std::string name_;
  bool json_;
  const NullWords& nulls_;
  char quote_;
  Bytes offsets_, text_;
  Validity validity_;
  std::int64_t length_ = 0, size_ = 0;
};

// A column without any value.
class NullBuilder final : public ColumnBuilder {
 public:
  NullBuilder(const arrow::Field& field, const NullWords& nulls, char quote)
      : name_(field.name()), nulls_(nulls), quote_(quote) {}

  void append(const CsvRows& rows, std::size_t column, std::size_t from, std::size_t to,
              std::vector<CellFault>& faults) override {
    for (std::size_t row = from; row < to; ++row, ++length_) {
      const CsvField& f = rows.field(row, column);
      if (nulls_.is_null(f, rows.base)) continue;
      faults.push_back({row, fault_text(name_, rows.value(f, quote_), "NULL")});
    }
  }
  void append_null() override { ++length_; }
  void truncate(std::int64_t rows) override { length_ = rows; }
  std::int64_t length() const override { return length_; }
  std::int64_t bytes() const override { return 0; }
  Result<std::shared_ptr<arrow::Array>> finish() override {
    return std::make_shared<arrow::NullArray>(std::exchange(length_, 0));
  }

 private:
  std::string name_;
  const NullWords& nulls_;
  char quote_;
  std::int64_t length_ = 0;
};

}  // namespace

std::unique_ptr<ColumnBuilder> make_builder(const arrow::Field& field, const NullWords& nulls,
                                            char quote) {
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
      return std::make_unique<NullBuilder>(field, nulls, quote);
    case arrow::Type::INT64:
      return fixed<std::int64_t>(field, nulls, quote, read_int);
    case arrow::Type::DOUBLE:
      return fixed<double>(field, nulls, quote, [](const char* p, std::size_t n, double& out) {
        return store(parse_double({p, n}), out);
      });
    case arrow::Type::BOOL:
      return fixed<bool>(field, nulls, quote, [](const char* p, std::size_t n, bool& out) {
        return store(parse_bool({p, n}), out);
      });
    case arrow::Type::DATE32:
      return fixed<std::int32_t>(field, nulls, quote,
                                 [](const char* p, std::size_t n, std::int32_t& out) {
                                   return store(parse_date({p, n}), out);
                                 });
    case arrow::Type::DECIMAL128: {
      const auto& d = static_cast<const arrow::Decimal128Type&>(type);
      return fixed<Int128>(field, nulls, quote,
                           [precision = d.precision(), scale = d.scale()](
                               const char* p, std::size_t n, Int128& out) {
                             return store(parse_decimal({p, n}, precision, scale), out);
                           });
    }
    case arrow::Type::TIMESTAMP: {
      const auto& t = static_cast<const arrow::TimestampType&>(type);
      return fixed<std::int64_t>(
          field, nulls, quote,
          [zone = !t.timezone().empty(), nanos = t.unit() == arrow::TimeUnit::NANO](
              const char* p, std::size_t n, std::int64_t& out) {
            const auto time = parse_time({p, n});
            return time && time->zone == zone && store(time_units(*time, nanos), out);
          });
    }
    default:
      return std::make_unique<TextBuilder>(field, nulls, quote);
  }
}

}  // namespace tidegate::engine::file
