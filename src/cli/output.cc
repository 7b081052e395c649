#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/utf8.h"
#include "cli/yaml.h"

namespace tidegate::cli {
namespace {

namespace json = boost::json;
const json::value kNull;

std::string text_of(const json::value& row, const Column& column) {
  const std::string text =
      one_line(column.render ? column.render(row) : cell_text(at_path(row, column.field)));
  return text.empty() ? "-" : text;
}

std::string colored(const Io& io, const Column& column, const std::string& padded,
                    std::string_view text) {
  if (column.title != "STATE" && column.title != "STATUS") return padded;
  if (text == "succeeded" || text == "ok") return paint(io, Color::Green, padded);
  if (text == "failed" || text == "timed_out") return paint(io, Color::Red, padded);
  if (text == "running" || text == "queued") return paint(io, Color::Yellow, padded);
  return padded;
}

// Columns are as wide as their content; on a terminal the last one is cut at its edge.
std::string lines(const Io& io, const std::vector<Column>& header,
                  const std::vector<std::vector<std::string>>& cells) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < header.size(); ++i) {
    std::size_t width = columns(header[i].title);
    for (const auto& row : cells) width = std::max(width, columns(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row, bool is_header) {
    std::string line;
    std::size_t used = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      std::string cell = row[i];
      if (io.out_is_terminal) {
        const auto width = static_cast<std::size_t>(io.width);
        cell = clip(cell, used < width ? width - used : 0);
      }
      const std::size_t size = columns(cell);
      if (!last) cell += std::string(widths[i] > size ? widths[i] - size : 0, ' ');
      used += columns(cell) + 2;
      line += (is_header ? paint(io, Color::Dim, cell) : colored(io, header[i], cell, row[i])) +
              (last ? "" : "  ");
    }
    out += line + "\n";
  };
  std::vector<std::string> titles;
  for (const Column& c : header) titles.push_back(c.title);
  add(titles, true);
  for (const auto& row : cells) add(row, false);
  return out;
}

void pretty(std::string& out, const json::value& v, int level) {
  const std::string indent(static_cast<std::size_t>(level + 1) * 2, ' ');
  const std::string close(static_cast<std::size_t>(level) * 2, ' ');
  if (const auto* a = v.if_array(); a && !a->empty()) {
    out += "[\n";
    for (std::size_t i = 0; i < a->size(); ++i) {
      out += indent;
      pretty(out, (*a)[i], level + 1);
      out += i + 1 < a->size() ? ",\n" : "\n";
    }
    out += close + "]";
  } else if (const auto* o = v.if_object(); o && !o->empty()) {
    out += "{\n";
    std::size_t i = 0;
    for (const auto& [key, item] : *o) {
      out += indent + json::serialize(json::string(key)) + ": ";
      pretty(out, item, level + 1);
      out += ++i < o->size() ? ",\n" : "\n";
    }
    out += close + "}";
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

const json::value& at_path(const json::value& row, std::string_view path) {
  const json::value* at = &row;
  while (!path.empty()) {
    const auto* o = at->if_object();
    const std::size_t dot = path.find('.');
    at = o ? o->if_contains(path.substr(0, dot)) : nullptr;
    if (!at) return kNull;
    path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
  }
  return *at;
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return escape_controls(text);
}

std::string cell_text(const json::value& v) {
  if (v.is_null()) return "";
  if (const auto* s = v.if_string()) return std::string(std::string_view(*s));
  if (const auto* a = v.if_array()) {
    std::string out;
    for (const json::value& item : *a) out += (out.empty() ? "" : ", ") + cell_text(item);
    return out;
  }
  if (v.is_bool()) return v.get_bool() ? "yes" : "no";
  return json::serialize(v);
}

std::string format_table(const Io& io, const json::value& data, const std::vector<Column>& header) {
  std::vector<std::vector<std::string>> cells;
  if (const auto* list = data.if_array()) {
    for (const json::value& row : *list) {
      auto& line = cells.emplace_back();
      for (const Column& c : header) line.push_back(text_of(row, c));
    }
    return lines(io, header, cells);
  }
  for (const Column& c : header) cells.push_back({c.title, text_of(data, c)});
  return lines(io, {{"FIELD", ""}, {"VALUE", ""}}, cells);
}

std::string format_json(const json::value& data) {
  std::string out;
  pretty(out, data, 0);
  return out + "\n";
}

int print(const Io& io, const Args& args, const json::value& data,
          const std::vector<Column>& header) {
  const std::string format = args.get_or("output", "table");
  io.out(format == "json"   ? format_json(data)
         : format == "yaml" ? write_yaml(data)
                            : format_table(io, data, header));
  return 0;
}

}  // namespace tidegate::cli
