#include "cli/names.h"

#include <fmt/format.h>

#include <set>

namespace tidegate::cli {
namespace {

// Above: one list is cheaper than asking for each.
constexpr std::size_t kAskEach = 20;

void collect(const boost::json::value& ids, std::set<std::string>& out) {
  if (const auto* one = ids.if_string()) out.emplace(*one);
  if (const auto* many = ids.if_array()) {
    for (const auto& id : *many) collect(id, out);
  }
}

}  // namespace

Names names_for(ApiClient& api, const Args& args, const std::string& path, std::string_view what,
                const boost::json::value& rows, std::string_view field) {
  if (args.get_or("output", "table") != "table") return {};
  std::set<std::string> ids;
  if (const auto* list = rows.if_array()) {
    for (const auto& row : *list) collect(at_path(row, field), ids);
  } else {
    collect(at_path(rows, field), ids);
  }
  Names names;
  const auto gone = [&](const std::string& id) { return fmt::format("deleted {} {}", what, id); };
  if (ids.size() > kAskEach) {
    const auto all = api.list(path);
    if (!all) return names;
    for (const std::string& id : ids) names[id] = gone(id);
    for (const auto& item : *all) names[text_at(item, "id")] = text_at(item, "name");
    return names;
  }
  for (const std::string& id : ids) {
    const auto item = api.call({.path = path + "/" + httpclient::escape(id), .body = nullptr});
    if (item) {
      names[id] = text_at(*item, "name");
    } else if (item.error().code == Code::NotFound) {
      names[id] = gone(id);
    }
  }
  return names;
}

std::string name_or_id(const Names& names, std::string_view id) {
  const auto it = names.find(std::string(id));
  return it == names.end() || it->second.empty() ? std::string(id) : it->second;
}

Column name_column(std::string title, const std::string& field, const Names& names) {
  return {std::move(title), field, [field, &names](const boost::json::value& row) {
            return name_or_id(names, text_at(row, field));
          }};
}

}  // namespace tidegate::cli
