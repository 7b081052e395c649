#include "engine/connectors/sqlite/functions.h"

#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <charconv>
#include <optional>

#include "engine/connectors/sqlite/cells.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;

void give(sqlite3_context* context, const std::string& text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

std::string text_of(sqlite3_value* value) {
  if (sqlite3_value_type(value) == SQLITE_FLOAT) return real_text(sqlite3_value_double(value));
  const auto* data = reinterpret_cast<const char*>(sqlite3_value_text(value));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_value_bytes(value))};
}

bool null_or_bytes(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  return type == SQLITE_NULL || type == SQLITE_BLOB;
}

void to_text(sqlite3_context* context, int, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) != SQLITE_FLOAT)
    return sqlite3_result_value(context, values[0]);
  give(context, text_of(values[0]));
}

void to_bool_text(sqlite3_context* context, int, sqlite3_value** values) {
  const bool whole = sqlite3_value_type(values[0]) == SQLITE_INTEGER;
  const std::int64_t v = whole ? sqlite3_value_int64(values[0]) : -1;
  if (v != 0 && v != 1) return to_text(context, 1, values);
  give(context, v == 1 ? "true" : "false");
}

std::optional<std::string> rescaled(std::string_view number, int scale) {
  arrow::Decimal256 v;
  std::int32_t precision = 0;
  std::int32_t places = 0;
  if (!arrow::Decimal256::FromString(number, &v, &precision, &places).ok()) return std::nullopt;
  const auto scaled = v.Rescale(places, scale);
  if (!scaled.ok()) return std::nullopt;
  return scaled->ToString(scale);
}

void to_decimal_text(sqlite3_context* context, int, sqlite3_value** values) {
  if (null_or_bytes(values[0])) return sqlite3_result_value(context, values[0]);
  const int scale = sqlite3_value_int(values[1]);
  const std::string number = text_of(values[0]);
  auto text = rescaled(number, scale);
  if (!text && sqlite3_value_type(values[0]) == SQLITE_FLOAT) {
    if (const auto sure = sure_digits(sqlite3_value_double(values[0])))
      text = rescaled(*sure, scale);
  }
  give(context, text.value_or(number));
}

void to_plain_json(sqlite3_context* context, int, sqlite3_value** values) {
  if (null_or_bytes(values[0])) return sqlite3_result_value(context, values[0]);
  give(context, plain_json(text_of(values[0])));
}

// A number as its digits, without zeros at either end.
struct Digits {
  bool negative = false;
  std::string_view whole, fraction;
};

std::optional<Digits> digits_of(std::string_view s) {
  Digits d;
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
    d.negative = s[0] == '-';
    s.remove_prefix(1);
  }
  if (s.empty() || s.find_first_not_of("0123456789.") != std::string_view::npos)
    return std::nullopt;
  const std::size_t point = s.find('.');
  d.whole = s.substr(0, point);
  if (point != std::string_view::npos) d.fraction = s.substr(point + 1);
  if (d.fraction.find('.') != std::string_view::npos) return std::nullopt;
  d.whole.remove_prefix(std::min(d.whole.find_first_not_of('0'), d.whole.size()));
  d.fraction = d.fraction.substr(0, d.fraction.find_last_not_of('0') + 1);
  if (d.whole.empty() && d.fraction.empty()) d.negative = false;
  return d;
}

double real_of(std::string_view s) {
  double v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

void met(sqlite3_context* context, int, sqlite3_value** values) {
  auto& counts = *static_cast<Met*>(sqlite3_user_data(context));
  const int holds = sqlite3_value_int(values[0]) != 0 ? 1 : 0;
  ++counts.rows;
  counts.left += 1 - holds;
  sqlite3_result_int(context, holds);
}

int by_number(void*, int a_size, const void* a, int b_size, const void* b) {
  return compare_numbers({static_cast<const char*>(a), static_cast<std::size_t>(a_size)},
                         {static_cast<const char*>(b), static_cast<std::size_t>(b_size)});
}

}  // namespace

std::string decimal_text(std::string_view number, int scale) {
  return rescaled(number, scale).value_or(std::string(number));
}

std::string plain_json(std::string_view json) {
  if (!json.starts_with('"')) return std::string(json);
  boost::system::error_code error;
  const boost::json::value v = boost::json::parse(json, error);
  if (error || !v.is_string()) return std::string(json);
  return std::string(v.get_string());
}

int compare_numbers(std::string_view a, std::string_view b) {
  const auto x = digits_of(a);
  const auto y = digits_of(b);
  if (!x || !y) {
    const double v = real_of(a);
    const double w = real_of(b);
    return v < w ? -1 : v > w ? 1 : 0;
  }
  if (x->negative != y->negative) return x->negative ? -1 : 1;
  int order = x->whole.size() < y->whole.size() ? -1 : x->whole.size() > y->whole.size() ? 1 : 0;
  if (order == 0) order = x->whole.compare(y->whole);
  if (order == 0) order = x->fraction.compare(y->fraction);
  return x->negative ? -order : order;
}

Status add_functions(Db& db) {
  struct Function {
    const char* name;
    int arguments;
    void (*call)(sqlite3_context*, int, sqlite3_value**);
  };
  for (const Function& f : {Function{"tidegate_text", 1, &to_text},
                            {"tidegate_bool_text", 1, &to_bool_text},
                            {"tidegate_decimal_text", 2, &to_decimal_text},
                            {"tidegate_plain_json", 1, &to_plain_json}}) {
    const int rc = sqlite3_create_function_v2(db.raw(), f.name, f.arguments, kFlags, nullptr,
                                              f.call, nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return fail(db.error(rc));
  }
  const int rc = sqlite3_create_collation_v2(db.raw(), "tidegate_number", SQLITE_UTF8, nullptr,
                                             &by_number, nullptr);
  if (rc != SQLITE_OK) return fail(db.error(rc));
  return {};
}

// Not deterministic: SQLite must call it for every row.
Status count_met(Db& db, Met* counts) {
  const int rc = sqlite3_create_function_v2(
      db.raw(), "tidegate_met", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, counts,
      counts == nullptr ? nullptr : &met, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return fail(db.error(rc));
  return {};
}

}  // namespace tidegate::engine::sqlite
