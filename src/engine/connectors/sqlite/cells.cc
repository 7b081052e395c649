#include "engine/connectors/sqlite/cells.h"

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_decimal.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/builder_time.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/connectors/sqlite/timetext.h"
#include "engine/core/schema.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr double kExactInt = 9007199254740992.0;  // 2^53
constexpr std::size_t kShown = 60;

std::string_view text_of(sqlite3_stmt* stmt, int column) {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(stmt, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(stmt, column))};
}

std::optional<std::int64_t> whole(double v) {
  if (!(std::abs(v) <= kExactInt) || v != std::floor(v)) return std::nullopt;
  return static_cast<std::int64_t>(v);
}

// The parts all columns share: NULL, refusal, finish. Derived::take says why not, or "".
template <class Derived, class Builder>
class Column : public CellColumn {
 public:
  template <class... Args>
  explicit Column(Args&&... args) : builder_(std::forward<Args>(args)...) {}

  std::string append(sqlite3_stmt* stmt, int column) override {
    const int type = sqlite3_column_type(stmt, column);
    if (type == SQLITE_NULL) return memory(builder_.AppendNull());
    std::string why = static_cast<Derived*>(this)->take(stmt, column, type);
    if (why.empty()) return why;
    (void)builder_.AppendNull();
    return fmt::format("{} {}", cell_words(stmt, column), why);
  }
  Result<std::shared_ptr<arrow::Array>> finish() override {
    auto array = builder_.Finish();
    if (!array.ok()) return fail(from_arrow(array.status(), "reading rows"));
    return *array;
  }

 protected:
  static std::string memory(const arrow::Status& status) {
    return status.ok() ? "" : status.message();
  }

  Builder builder_;
};

class BoolColumn final : public Column<BoolColumn, arrow::BooleanBuilder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
      const double v = sqlite3_column_double(stmt, column);
      if (v == 0 || v == 1) return memory(builder_.Append(v == 1));
    }
    if (type == SQLITE_TEXT) {
      const std::string_view s = text_of(stmt, column);
      for (const auto& [word, value] : {std::pair{"true", true},
                                        {"false", false},
                                        {"t", true},
                                        {"f", false},
                                        {"TRUE", true},
                                        {"FALSE", false},
                                        {"True", true},
                                        {"False", false}}) {
        if (s == word) return memory(builder_.Append(value));
      }
    }
    return "is neither true nor false";
  }
};

class IntColumn final : public Column<IntColumn, arrow::Int64Builder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_INTEGER) return memory(builder_.Append(sqlite3_column_int64(stmt, column)));
    if (type == SQLITE_FLOAT) {
      if (const auto v = whole(sqlite3_column_double(stmt, column)))
        return memory(builder_.Append(*v));
    }
    return "is not a whole number";
  }
};

class RealColumn final : public Column<RealColumn, arrow::DoubleBuilder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_FLOAT) return memory(builder_.Append(sqlite3_column_double(stmt, column)));
    if (type != SQLITE_INTEGER) return "is not a number";
    const auto v = static_cast<double>(sqlite3_column_int64(stmt, column));
    if (!(std::abs(v) <= kExactInt)) return "is too large to be held exactly beside fractions";
    return memory(builder_.Append(v));
  }
};

class TextColumn final : public Column<TextColumn, arrow::StringBuilder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_FLOAT) {
      return memory(builder_.Append(real_text(sqlite3_column_double(stmt, column))));
    }
    if (type == SQLITE_BLOB) return "are bytes, not text";
    const std::string_view s = text_of(stmt, column);
    if (!is_utf8(s)) return "is not valid UTF-8; correct the value, or declare the column BLOB";
    return memory(builder_.Append(s));
  }
};

class BytesColumn final : public Column<BytesColumn, arrow::BinaryBuilder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type != SQLITE_BLOB && type != SQLITE_TEXT) return "is a number, not bytes";
    const void* data = sqlite3_column_blob(stmt, column);
    return memory(builder_.Append(static_cast<const std::uint8_t*>(data),
                                  static_cast<std::int32_t>(sqlite3_column_bytes(stmt, column))));
  }
};

constexpr int kSureDigits = 15;  // that every double keeps (DBL_DIG)

template <class Decimal, class Builder>
class DecimalColumn final : public Column<DecimalColumn<Decimal, Builder>, Builder> {
 public:
  explicit DecimalColumn(const std::shared_ptr<arrow::DataType>& type)
      : Column<DecimalColumn, Builder>(type),
        precision_(static_cast<const arrow::DecimalType&>(*type).precision()),
        scale_(static_cast<const arrow::DecimalType&>(*type).scale()) {}

  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_BLOB) return "are bytes, not a number";
    if (type != SQLITE_FLOAT) return put(text_of(stmt, column));
    const double v = sqlite3_column_double(stmt, column);
    std::string why = put(real_text(v));
    if (why.empty()) return why;
    // Sums drift in digits that the declared type does not have: a double is sure of 15.
    if (precision_ <= kSureDigits) return put(fmt::format("{:.{}g}", v, kSureDigits));
    const auto sure = sure_digits(v);
    return sure ? put(*sure) : why;
  }

 private:
  std::string put(std::string_view text) {
    Decimal v;
    std::int32_t precision = 0;
    std::int32_t scale = 0;
    if (!Decimal::FromString(text, &v, &precision, &scale).ok()) return "is not a number";
    const auto scaled = v.Rescale(scale, scale_);
    if (!scaled.ok() || !scaled->FitsInPrecision(precision_)) {
      return fmt::format("does not fit decimal({},{})", precision_, scale_);
    }
    return this->memory(this->builder_.Append(*scaled));
  }

  const int precision_, scale_;
};

class DateColumn final : public Column<DateColumn, arrow::Date32Builder> {
 public:
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_TEXT) {
      if (const auto days = read_date(text_of(stmt, column))) {
        return memory(builder_.Append(static_cast<std::int32_t>(*days)));
      }
    }
    return "is not a date (YYYY-MM-DD)";
  }
};

class TimeColumn final : public Column<TimeColumn, arrow::Time64Builder> {
 public:
  TimeColumn() : Column(arrow::time64(arrow::TimeUnit::MICRO), arrow::default_memory_pool()) {}
  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_TEXT) {
      if (const auto us = read_time(text_of(stmt, column))) return memory(builder_.Append(*us));
    }
    return "is not a time (HH:MM:SS, at most six digits of a second)";
  }
};

// Text as SQLite writes it, or a Unix time in seconds (or in milliseconds or microseconds when it
// is too great for seconds), or a Julian day number.
class TimestampColumn final : public Column<TimestampColumn, arrow::TimestampBuilder> {
 public:
  TimestampColumn(const std::shared_ptr<arrow::DataType>& type, bool zone, bool nanos)
      : Column(type, arrow::default_memory_pool()), zone_(zone), nanos_(nanos) {}

  std::string take(sqlite3_stmt* stmt, int column, int type) {
    if (type == SQLITE_TEXT) {
      const auto t = read_timestamp(text_of(stmt, column));
      if (!t) return "is not a timestamp (YYYY-MM-DD HH:MM:SS)";
      if (t->has_zone && !zone_) return "has a zone, in a column without";
      return put(t->seconds, t->nanos);
    }
    if (type == SQLITE_INTEGER) {
      const std::int64_t v = sqlite3_column_int64(stmt, column);
      const std::int64_t size = v < 0 ? -(v + 1) : v;
      if (size < 100'000'000'000) return put(v, 0);
      const std::int64_t ticks = size < 100'000'000'000'000 ? 1000 : 1'000'000;
      std::int64_t seconds = v / ticks;
      if (v % ticks < 0) --seconds;
      return put(seconds,
                 static_cast<std::int32_t>((v - seconds * ticks) * (1'000'000'000 / ticks)));
    }
    if (type == SQLITE_FLOAT) {
      const double julian = sqlite3_column_double(stmt, column);
      if (julian >= 1721059.5 && julian < 5373484.5) {
        const auto ms =
            static_cast<std::int64_t>(std::llround((julian - 2440587.5) * 86'400'000.0));
        const std::int64_t seconds = ms / 1000 - (ms % 1000 < 0 ? 1 : 0);
        return put(seconds, static_cast<std::int32_t>((ms - seconds * 1000) * 1'000'000));
      }
    }
    return "is not a timestamp";
  }

 private:
  std::string put(std::int64_t seconds, std::int32_t nanos) {
    if (!nanos_ && nanos % 1000 != 0) return "is finer than a microsecond";
    std::int64_t ticks = 0;
    const std::int64_t per_second = nanos_ ? 1'000'000'000 : 1'000'000;
    if (__builtin_mul_overflow(seconds, per_second, &ticks) ||
        __builtin_add_overflow(ticks, nanos_ ? nanos : nanos / 1000, &ticks)) {
      return "is out of range";
    }
    return memory(builder_.Append(ticks));
  }

  const bool zone_, nanos_;
};

}  // namespace

std::string real_text(double v) { return fmt::format("{}", v); }

std::optional<std::string> sure_digits(double v) {
  std::string text = fmt::format("{:.{}g}", v, kSureDigits);
  double near = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), near);
  if (ec != std::errc{} || near != std::nextafter(v, near)) return std::nullopt;
  return text;
}

std::string cell_words(sqlite3_stmt* stmt, int column) {
  switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_NULL:
      return "NULL";
    case SQLITE_INTEGER:
      return fmt::format("{}", sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT:
      return real_text(sqlite3_column_double(stmt, column));
    case SQLITE_BLOB:
      return fmt::format("{} bytes", sqlite3_column_bytes(stmt, column));
    default:
      break;
  }
  const std::string_view s = text_of(stmt, column);
  return fmt::format("'{}{}'", escape_bytes(clip(s, kShown)), s.size() > kShown ? "…" : "");
}

Result<std::unique_ptr<CellColumn>> CellColumn::make(const ColumnType& type) {
  const auto field = to_field("", type);
  switch (type.kind) {
    case Kind::Bool:
      return std::make_unique<BoolColumn>();
    case Kind::Int:
      return std::make_unique<IntColumn>();
    case Kind::Real:
      return std::make_unique<RealColumn>();
    case Kind::Decimal:
      if (type.precision <= 38) {
        return std::make_unique<DecimalColumn<arrow::Decimal128, arrow::Decimal128Builder>>(
            field->type());
      }
      return std::make_unique<DecimalColumn<arrow::Decimal256, arrow::Decimal256Builder>>(
          field->type());
    case Kind::Any:
    case Kind::None:
    case Kind::Json:
    case Kind::Text:
      return std::make_unique<TextColumn>();
    case Kind::Bytes:
      return std::make_unique<BytesColumn>();
    case Kind::Date:
      return std::make_unique<DateColumn>();
    case Kind::Time:
      return std::make_unique<TimeColumn>();
    case Kind::Timestamp:
    case Kind::TimestampTz:
      return std::make_unique<TimestampColumn>(field->type(), type.kind == Kind::TimestampTz,
                                               type.nanos);
  }
  return fail(Code::Internal, "unknown column type");
}

}  // namespace tidegate::engine::sqlite
