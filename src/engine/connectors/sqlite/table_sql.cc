#include "engine/connectors/sqlite/table_sql.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::engine::sqlite {
namespace {

bool word_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || u >= 0x80;
}

// The length of the spaces and comments at the start.
std::size_t blank(std::string_view sql) {
  const auto until = [&](std::string_view end) {
    const std::size_t at = sql.find(end, 2);
    return at == std::string_view::npos ? sql.size() : at + end.size();
  };
  if (sql.starts_with("--")) return until("\n");
  if (sql.starts_with("/*")) return until("*/");
  return std::string_view(" \t\r\n\f").contains(sql.front()) ? 1 : 0;
}

// The name or text in quotes at the start, without them; moves `sql` behind it.
std::string quoted(std::string_view& sql) {
  const char close = sql.front() == '[' ? ']' : sql.front();
  std::string out;
  for (sql.remove_prefix(1); !sql.empty(); sql.remove_prefix(1)) {
    if (sql.front() == close) {
      sql.remove_prefix(1);
      if (close == ']' || sql.empty() || sql.front() != close) break;
    }
    out += sql.front();
  }
  return out;
}

std::vector<std::string> tokens(std::string_view sql) {
  std::vector<std::string> out;
  while (!sql.empty()) {
    if (const std::size_t skip = blank(sql); skip > 0) {
      sql.remove_prefix(skip);
    } else if (std::string_view("\"'`[").contains(sql.front())) {
      out.push_back(quoted(sql));
    } else {
      std::size_t length = 1;
      if (word_char(sql.front())) {
        while (length < sql.size() && word_char(sql[length])) ++length;
      }
      out.emplace_back(sql.substr(0, length));
      sql.remove_prefix(length);
    }
  }
  return out;
}

std::string create_sql(const std::string& table, const TableLayout& layout, bool key_beside) {
  std::string sql = fmt::format("CREATE TABLE {} (", quote(table));
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    const TableColumn& c = layout.columns[i];
    const bool is_key = key_beside && layout.primary_key.size() == 1 &&
                        same_name(c.name, layout.primary_key.front());
    sql += (i == 0 ? "" : ", ") + definition(c) + (is_key ? " PRIMARY KEY" : "");
  }
  if (!layout.primary_key.empty() && !key_beside)
    sql += fmt::format(", PRIMARY KEY ({})", column_list(layout.primary_key));
  return sql + ")";
}

}  // namespace

std::string column_list(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + quote(name);
  return out;
}

std::string definition(const TableColumn& c) {
  return c.declared.empty() ? quote(c.name) : fmt::format("{} {}", quote(c.name), c.declared);
}

std::string assignments(const std::vector<TableColumn>& columns,
                        const std::vector<std::string>& key) {
  std::string out;
  for (const auto& c : columns) {
    if (std::ranges::any_of(key, [&](const auto& k) { return same_name(k, c.name); })) continue;
    out += fmt::format("{}{} = excluded.{}", out.empty() ? "" : ", ", quote(c.name), quote(c.name));
  }
  return out;
}

std::string create_sql(const std::string& table, const TableLayout& layout) {
  return create_sql(table, layout, false);
}

bool says_no_more(std::string_view sql, const std::string& table, const TableLayout& layout) {
  const auto theirs = tokens(sql);
  const auto same = [&](bool key_beside) {
    return std::ranges::equal(theirs, tokens(create_sql(table, layout, key_beside)), same_name);
  };
  return same(false) || (layout.primary_key.size() == 1 && same(true));
}

bool has_conflict_clause(std::string_view sql) {
  const auto words = tokens(sql);
  return std::ranges::adjacent_find(words, [](const auto& a, const auto& b) {
           return same_name(a, "ON") && same_name(b, "CONFLICT");
         }) != words.end();
}

}  // namespace tidegate::engine::sqlite
