#include "cli/names.h"

#include <fmt/format.h>

#include <set>

namespace tidegate::cli {
namespace {

// Above: one list is cheaper than asking for each.
constexpr std::size_t kAskEach = 20;
// A name is not worth more.
constexpr std::size_t kDeletedLooked = 1000;

void collect(const boost::json::value& ids, std::set<std::string>& out) {
  if (const auto* one = ids.if_string()) out.emplace(*one);
  if (const auto* many = ids.if_array()) {
    for (const auto& id : *many) collect(id, out);
  }
}

// Jobs are kept for as long as their runs are; a server that is too old to list them refuses.
void add_deleted(ApiClient& api, const std::string& path, std::string_view what,
                 const std::set<std::string>& ids, Names& names) {
  for (const std::string& id : ids) names[id] = fmt::format("deleted {} {}", what, id);
  if (ids.empty() || path != "/sync-jobs") return;
  const auto deleted = api.list(path, {{"deleted", "true"}}, kDeletedLooked);
  for (const auto& job : deleted ? *deleted : boost::json::array()) {
    const std::string id = text_at(job, "id");
    if (ids.contains(id)) names[id] = text_at(job, "name") + " (deleted)";
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
  if (ids.size() > kAskEach) {
    const auto all = api.list(path);
    if (!all) return {};
    Names names;
    for (const auto& item : *all) names[text_at(item, "id")] = text_at(item, "name");
    std::erase_if(ids, [&](const std::string& id) { return names.contains(id); });
    add_deleted(api, path, what, ids, names);
    return names;
  }
  Names names;
  std::set<std::string> gone;
  for (const std::string& id : ids) {
    const auto item = api.call({.path = path + "/" + httpclient::escape(id), .body = nullptr});
    if (item) {
      names[id] = text_at(*item, "name");
    } else if (item.error().code == Code::NotFound) {
      gone.insert(id);
    }
  }
  add_deleted(api, path, what, gone, names);
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
