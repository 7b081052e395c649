#include "engine/core/selection.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "base/text.h"

namespace tidegate::engine {
namespace {

using protocol::matches;

// Destinations compare names without regard to ASCII case.
std::vector<std::string> names_of(const Catalog& catalog) {
  std::vector<std::string> names;
  for (const auto& e : catalog.entities) names.push_back(e.name);
  for (const auto& e : catalog.bad) names.push_back(e.name);
  names.insert(names.end(), catalog.others.begin(), catalog.others.end());
  return names;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& names) {
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = json::nearest(word, views);
  return near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

// A retry of failed entities may name a pattern that had matched none then.
bool is_chosen(const protocol::RunSpec& run, const std::string& name) {
  if (run.only_entities.empty() || contains(run.only_entities, name)) return true;
  return std::ranges::any_of(run.entity_filter, [&](const auto& p) {
    return contains(run.only_entities, p) && matches(p, name);
  });
}

Selected unknown(const std::string& name, const std::vector<std::string>& names) {
  Selected s{.name = name};
  s.error =
      Error{Code::Invalid,
            names.empty() ? fmt::format("the source has no entity \"{}\"; it has none at all", name)
                          : fmt::format("the source has no entity \"{}\"; it has {}{}", name,
                                        name_list(names), did_you_mean(name, names)),
            "unknown_entity",
            {}};
  return s;
}

// Patterns of the filter, and names with options, that match no entity.
std::vector<Selected> unmatched(const Catalog& catalog, const protocol::RunSpec& run) {
  std::vector<Selected> out;
  const auto names = names_of(catalog);
  for (const std::string& pattern : run.entity_filter) {
    if (std::ranges::any_of(names, [&](const auto& n) { return matches(pattern, n); })) continue;
    out.push_back(unknown(pattern, names));
  }
  // Options that apply to nothing: with a name mistyped the rows would be copied without them.
  for (const auto& [pattern, options] : run.entities) {
    if (contains(run.entity_filter, pattern) ||
        std::ranges::any_of(names, [&](const auto& n) { return matches(pattern, n); })) {
      continue;
    }
    out.push_back(unknown(pattern, names));
    out.back().error->message.insert(0, "`entities` has options for what is not there: ");
  }
  return out;
}

// A name that was asked for and is not selected: it always gets an outcome, or a retry of a run
// would be a success with the entity's old failure in it.
Selected left_over(const Catalog& catalog, const protocol::RunSpec& run, const std::string& name) {
  const auto names = names_of(catalog);
  if (contains(run.entity_filter, name)) {
    Selected s{.name = name};
    s.note = fmt::format(
        "the pattern \"{}\" had matched no entity; what it matches now has a "
        "result of its own",
        name);
    return s;
  }
  if (!contains(names, name)) return unknown(name, names);
  Selected s{.name = name};
  s.error =
      Error{Code::Invalid,
            fmt::format("the job does not copy the entity \"{}\": its entityFilter chooses {}; "
                        "add it there, or do not name it for this run",
                        name, name_list(run.entity_filter)),
            "unknown_entity",
            {}};
  return s;
}

void refuse_shared_names(std::vector<Selected>& selected) {
  std::map<std::string, std::vector<Selected*>> by_name;
  for (auto& s : selected) {
    if (s.info != nullptr) by_name[ascii_lower(s.name)].push_back(&s);
  }
  for (auto& [folded, group] : by_name) {
    if (group.size() < 2) continue;
    std::vector<std::string> names;
    for (const Selected* s : group) names.push_back(s->name);
    for (Selected* s : group) {
      s->info = nullptr;
      s->error = Error{Code::Invalid,
                       fmt::format("the entities {} would share one table of the destination; "
                                   "choose one with the entity filter, or rename one",
                                   name_list(names)),
                       "name_clash",
                       {}};
    }
  }
}

// A source knows more of it: which file.
std::string no_columns(const EntityInfo& entity) {
  return entity.warnings.empty()
             ? "there is no column: an empty file has not even a header, and rows "
               "that cannot be read have none"
             : entity.warnings.front();
}

}  // namespace

Wanted wanted_by(const protocol::RunSpec& run) {
  return [&run](const std::string& name) {
    const bool filtered =
        run.entity_filter.empty() ||
        std::ranges::any_of(run.entity_filter, [&](const auto& p) { return matches(p, name); });
    return filtered && is_chosen(run, name);
  };
}

std::vector<Selected> select_entities(const Catalog& catalog, const protocol::RunSpec& run) {
  const Wanted wanted = wanted_by(run);
  std::vector<Selected> out;
  for (const auto& e : catalog.entities) {
    if (wanted(e.name)) out.push_back({e.name, &e, {}});
  }
  for (const auto& e : catalog.bad) {
    if (wanted(e.name)) out.push_back({e.name, nullptr, e.error});
  }
  for (auto& s : unmatched(catalog, run)) {
    if (run.only_entities.empty() || contains(run.only_entities, s.name)) {
      out.push_back(std::move(s));
    }
  }
  for (const std::string& name : run.only_entities) {
    if (std::ranges::find(out, name, &Selected::name) != out.end()) continue;
    out.push_back(left_over(catalog, run, name));
  }
  refuse_shared_names(out);
  return out;
}

protocol::EntityOptions options_for(const protocol::RunSpec& run, const std::string& entity) {
  if (const auto exact = run.entities.find(entity); exact != run.entities.end()) {
    return exact->second;
  }
  for (const auto& [pattern, options] : run.entities) {
    if (matches(pattern, entity)) return options;
  }
  return {};
}

Result<std::vector<std::string>> select_columns(const EntityInfo& entity,
                                                const protocol::EntityOptions& options) {
  const std::vector<std::string> all = entity.schema->field_names();
  std::vector<FieldError> errors;
  const auto known = [&](const std::vector<std::string>& names, std::string_view what) {
    for (const auto& name : names) {
      if (std::ranges::find(all, name) != all.end()) continue;
      errors.push_back({fmt::format("entities[\"{}\"].{}", entity.name, what),
                        fmt::format("there is no column \"{}\"; the entity has {}{}", name,
                                    name_list(all), did_you_mean(name, all)),
                        {}});
    }
  };
  known(options.include_columns, "columns.include");
  known(options.exclude_columns, "columns.exclude");
  std::vector<std::string> columns;
  std::map<std::string, std::string> folded;
  for (const auto& name : all) {
    const auto listed = [&](const auto& list) {
      return std::ranges::find(list, name) != list.end();
    };
    if (!options.include_columns.empty() && !listed(options.include_columns)) continue;
    if (listed(options.exclude_columns)) continue;
    if (const auto [it, fresh] = folded.emplace(ascii_lower(name), name); !fresh) {
      errors.push_back({fmt::format("entities[\"{}\"].columns", entity.name),
                        fmt::format("the columns \"{}\" and \"{}\" would share one name in the "
                                    "destination; exclude one",
                                    it->second, name),
                        {}});
    }
    columns.push_back(name);
  }
  if (columns.empty() && errors.empty()) {
    errors.push_back({fmt::format("entities[\"{}\"].columns", entity.name),
                      all.empty() ? no_columns(entity) : "no column is left; include at least one",
                      {}});
  }
  if (!errors.empty()) {
    std::string message = fmt::format("entity \"{}\": {}", entity.name, errors.front().message);
    return fail(Error{Code::Invalid, std::move(message), "bad_columns", std::move(errors)});
  }
  return columns;
}

std::string name_list(const std::vector<std::string>& names, std::size_t max) {
  std::string out;
  const std::size_t shown = std::min(names.size(), max);
  for (std::size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == shown && shown == names.size();
    out += fmt::format("{}\"{}\"", i == 0 ? "" : last ? " and " : ", ", names[i]);
  }
  if (shown < names.size()) out += fmt::format(" and {} more", names.size() - shown);
  return out;
}

}  // namespace tidegate::engine
