#include "engine/core/rows.h"

#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <sodium/crypto_generichash.h>

#include <array>
#include <charconv>
#include <cmath>

#include "engine/core/cursor.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

// As a decimal of the same value is written; beyond what one can hold, with an exponent.
std::string real_text(double v) {
  if (v == 0) return "0";
  const double size = std::abs(v);
  if (!(size >= 1e-38 && size < 1e38)) return fmt::format("{}", v);
  std::array<char, 128> text{};
  const auto [end, ec] =
      std::to_chars(text.data(), text.data() + text.size(), v, std::chars_format::fixed);
  return {text.data(), end};
}

// The value as text that is equal for equal values across widened types. REQUIRES: not NULL.
std::string canonical(const arrow::Array& array, std::int64_t row) {
  if (const auto v = cursor_at(array, row)) {
    std::string text = v->kind() == CursorKind::Real ? real_text(v->as_real()) : v->to_string();
    if (v->kind() == CursorKind::Decimal && text.find('.') != std::string::npos) {
      text.erase(text.find_last_not_of('0') + 1);
      if (text.back() == '.') text.pop_back();
    }
    // A date that became a timestamp is its midnight.
    if (v->kind() == CursorKind::Date) text += "T00:00:00Z";
    return text;
  }
  if (array.type_id() == arrow::Type::BOOL) {
    return static_cast<const arrow::BooleanArray&>(array).Value(row) ? "1" : "0";
  }
  if (array.type_id() == arrow::Type::BINARY) {
    return static_cast<const arrow::BinaryArray&>(array).GetString(row);
  }
  const auto scalar = array.GetScalar(row);
  return scalar.ok() ? (*scalar)->ToString() : std::string();
}

boost::json::value json_value(const arrow::Array& array, std::int64_t row, std::size_t max_bytes) {
  if (array.IsNull(row)) return nullptr;
  if (array.type_id() == arrow::Type::BOOL) {
    return static_cast<const arrow::BooleanArray&>(array).Value(row);
  }
  if (array.type_id() == arrow::Type::BINARY || array.type_id() == arrow::Type::LARGE_BINARY) {
    const auto scalar = array.GetScalar(row);
    return boost::json::string(fmt::format(
        "{} bytes", static_cast<const arrow::BaseBinaryScalar&>(**scalar).value->size()));
  }
  if (const auto v = cursor_at(array, row)) {
    if (v->kind() == CursorKind::Integer) return v->as_integer();
    if (v->kind() == CursorKind::Real && std::isfinite(v->as_real())) return v->as_real();
  }
  std::string text = canonical(array, row);
  if (array.type_id() == arrow::Type::DATE32) text.resize(text.find('T'));
  if (text.size() > max_bytes) text = text.substr(0, max_bytes) + "…";
  return boost::json::string(protocol::to_utf8(text));
}

struct Run {
  std::int64_t begin, length;
};

std::vector<Run> runs_of(const std::vector<std::uint8_t>& keep) {
  std::vector<Run> runs;
  const auto n = static_cast<std::int64_t>(keep.size());
  for (std::int64_t i = 0; i < n;) {
    if (keep[static_cast<std::size_t>(i)] == 0) {
      ++i;
      continue;
    }
    std::int64_t end = i;
    while (end < n && keep[static_cast<std::size_t>(end)] != 0) ++end;
    runs.push_back({i, end - i});
    i = end;
  }
  return runs;
}

}  // namespace

std::string row_hash(const arrow::RecordBatch& batch, std::int64_t row,
                     const std::vector<std::string>& columns) {
  crypto_generichash_state state;
  std::array<unsigned char, 16> digest{};
  crypto_generichash_init(&state, nullptr, 0, digest.size());
  const auto add = [&](std::string_view text) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size());
  };
  for (const auto& name : columns) {
    const auto column = batch.GetColumnByName(name);
    // The length before the value keeps ("ab", "c") apart from ("a", "bc"); NULL has none.
    if (column == nullptr || column->IsNull(row)) {
      add("-;");
      continue;
    }
    const std::string text = canonical(*column, row);
    add(fmt::format("{};", text.size()));
    add(text);
  }
  crypto_generichash_final(&state, digest.data(), digest.size());
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string hash_kind(const arrow::Field& field) {
  if (is_json(field)) return "JSON";
  if (field.type()->id() == arrow::Type::NA) return "";
  const auto kind = cursor_kind(*field.type());
  if (!kind) return type_words(field);
  switch (*kind) {
    case CursorKind::Integer:
      return "integer";
    case CursorKind::Real:
    case CursorKind::Decimal:
      return "number";
    default:
      return type_words(field);  // text, date, timestamp, timestamp with time zone
  }
}

bool hash_equally(std::string_view then, std::string_view now) {
  const auto both = [&](std::string_view a, std::string_view b) {
    return (then == a && now == b) || (then == b && now == a);
  };
  if (then == kMixedKind) return false;
  return then.empty() || now.empty() || then == now || both("integer", "number") ||
         both("integer", "text") || both("date", "timestamp");
}

std::string join_kinds(const std::string& a, const std::string& b) {
  if (a.empty() || a == b) return b;
  if (b.empty()) return a;
  if (!hash_equally(a, b)) return kMixedKind;
  return a == "integer" || a == "date" ? b : a;  // the wider of the two
}

std::optional<std::string> value_text(const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  return canonical(array, row);
}

boost::json::object row_json(const arrow::RecordBatch& batch, std::int64_t row,
                             std::size_t max_bytes) {
  boost::json::object o;
  for (int c = 0; c < batch.num_columns(); ++c) {
    o[protocol::to_utf8(batch.column_name(c))] = json_value(*batch.column(c), row, max_bytes);
  }
  return o;
}

Result<std::shared_ptr<arrow::RecordBatch>> keep_rows(
    const std::shared_ptr<arrow::RecordBatch>& batch, const std::vector<std::uint8_t>& keep) {
  const auto runs = runs_of(keep);
  if (runs.empty()) return batch->Slice(0, 0);
  if (runs.size() == 1) return batch->Slice(runs[0].begin, runs[0].length);
  arrow::ArrayVector columns;
  std::int64_t rows = 0;
  for (const Run& run : runs) rows += run.length;
  for (const auto& column : batch->columns()) {
    arrow::ArrayVector parts;
    for (const Run& run : runs) parts.push_back(column->Slice(run.begin, run.length));
    auto joined = arrow::Concatenate(parts);
    if (!joined.ok()) return fail(from_arrow(joined.status(), "choosing rows"));
    columns.push_back(std::move(*joined));
  }
  return arrow::RecordBatch::Make(batch->schema(), rows, std::move(columns));
}

}  // namespace tidegate::engine
