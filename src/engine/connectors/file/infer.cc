#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/connectors/file/columns.h"
#include "engine/connectors/file/swar.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

std::optional<std::pair<int, int>> decimal_of(std::string_view type) {
  if (!type.starts_with("decimal(") || !type.ends_with(")")) return std::nullopt;
  type = type.substr(8, type.size() - 9);
  int precision = 0, scale = 0;
  const char* end = type.data() + type.size();
  auto [p, ec] = std::from_chars(type.data(), end, precision);
  if (ec != std::errc() || p == end || *p != ',') return std::nullopt;
  ++p;
  while (p < end && *p == ' ') ++p;
  auto [q, ec2] = std::from_chars(p, end, scale);
  if (ec2 != std::errc() || q != end) return std::nullopt;
  if (precision < 1 || precision > 38 || scale < 0 || scale > precision) return std::nullopt;
  return std::pair(precision, scale);
}

std::shared_ptr<arrow::DataType> timestamp(bool nanos, bool zone) {
  return arrow::timestamp(nanos ? arrow::TimeUnit::NANO : arrow::TimeUnit::MICRO,
                          zone ? "UTC" : "");
}

// The usual case of a whole number: at most eight digits, no leading zero, perhaps a minus.
bool is_short_int(const char* p, std::size_t size, std::size_t& digits) {
  const bool negative = *p == '-';
  p += negative;
  digits = size - negative;
  if (digits - 1 > 7) return false;
  if (*p == '0' && (digits > 1 || negative)) return false;
  return all_digits(load_digits(p, digits));
}

}  // namespace

std::shared_ptr<arrow::Field> field_of_type(const std::string& name, std::string_view type) {
  if (type == "text") return arrow::field(name, arrow::utf8());
  if (type == "integer") return arrow::field(name, arrow::int64());
  if (type == "double") return arrow::field(name, arrow::float64());
  if (type == "boolean") return arrow::field(name, arrow::boolean());
  if (type == "date") return arrow::field(name, arrow::date32());
  if (type == "timestamp") return arrow::field(name, timestamp(false, false));
  if (type == "timestamptz") return arrow::field(name, timestamp(false, true));
  if (type == "json") return mark_json(arrow::field(name, arrow::utf8()));
  if (const auto d = decimal_of(type)) {
    return arrow::field(name, arrow::decimal128(d->first, d->second));
  }
  return nullptr;
}

NullWords::NullWords(std::vector<std::string> words) : words_(std::move(words)) {
  std::erase(words_, "");
  for (const std::string& w : words_) first_[static_cast<unsigned char>(w[0])] = true;
}

bool NullWords::matches(std::string_view text) const {
  return std::ranges::find(words_, text) != words_.end();
}

void ColumnGuess::add(const ValueClass& c) {
  any = true;
  types &= c.types;
  fits_ns &= c.fits_ns;
  int_digits = std::max(int_digits, c.int_digits);
  scale = std::max(scale, c.scale);
  fraction = std::max(fraction, c.fraction);
}

void ColumnGuess::add(const ColumnGuess& other) {
  any |= other.any;
  types &= other.types;
  fits_ns &= other.fits_ns;
  int_digits = std::max(int_digits, other.int_digits);
  scale = std::max(scale, other.scale);
  fraction = std::max(fraction, other.fraction);
}

std::shared_ptr<arrow::Field> ColumnGuess::field(const std::string& name) const {
  std::shared_ptr<arrow::DataType> type = arrow::utf8();
  const bool nanos = fraction > 6;
  if (!any) {
    type = arrow::null();  // no value says nothing: as text it would widen a column of numbers
  } else if ((types & kBool) != 0) {
    type = arrow::boolean();
  } else if ((types & kInt) != 0) {
    type = arrow::int64();
  } else if ((types & kDouble) != 0) {
    type = arrow::float64();
  } else if ((types & kDecimal) != 0 && int_digits + scale <= 38) {
    type = arrow::decimal128(std::max(1, int_digits + scale), scale);
  } else if ((types & kDate) != 0) {
    type = arrow::date32();
  } else if ((types & (kTimestamp | kTimestampTz)) != 0 && (!nanos || fits_ns)) {
    type = timestamp(nanos, (types & kTimestampTz) != 0);
  }
  return arrow::field(name, std::move(type));
}

void observe(ColumnGuess& guess, const CsvRows& rows, std::size_t column, const NullWords& nulls) {
  if (guess.types == kText) return;
  static constexpr std::uint16_t kShortInt = kInt | kDouble | kDecimal | kText;
  std::size_t most_digits = 0;
  const CsvField* f = rows.fields.data() + column;
  for (std::size_t row = 0; row < rows.count; ++row, f += rows.columns) {
    if (nulls.is_null(*f, rows.base)) continue;
    const char* p = rows.base + f->begin;
    const std::size_t size = f->size();
    std::size_t digits = 0;
    if (size > 0 && (guess.types & (kDouble | kDecimal)) != 0 && is_short_int(p, size, digits)) {
      most_digits = std::max(most_digits, digits);
      continue;
    }
    guess.add(classify({p, size}));
    if (guess.types == kText) return;
  }
  if (most_digits > 0) {
    guess.any = true;
    guess.types &= kShortInt;
    guess.int_digits = std::max(guess.int_digits, static_cast<std::uint8_t>(most_digits));
  }
}

}  // namespace tidegate::engine::file
