#include "app/sync/prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "protocol/protocol.h"

namespace tidegate::app {
namespace {

using Names = std::vector<std::string>;

constexpr std::size_t kShownEntities = 5, kShownColumns = 100;

// Columns that are called so are changed with every change of their row.
constexpr std::string_view kUsualCursors[] = {"updated_at",  "updatedat",    "modified_at",
                                              "modifiedat",  "updated",      "modified",
                                              "last_update", "last_updated", "last_modified"};

struct Column {
  std::string name, type;
  bool may_be_cursor = false;
};

struct Entity {
  std::string name;
  std::vector<Column> columns;
  Names key, cursors, keys;  // its own key; candidates

  const Column* find(std::string_view column) const {
    const auto it = std::ranges::find(columns, column, &Column::name);
    return it == columns.end() ? nullptr : &*it;
  }
};

Names names_at(const boost::json::object& o, std::string_view member) {
  Names out;
  const auto* items = o.if_contains(member);
  if (items == nullptr || !items->is_array()) return out;
  for (const auto& item : items->get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

std::string text_at(const boost::json::object& o, std::string_view member) {
  const auto* text = o.if_contains(member);
  return text != nullptr && text->is_string() ? std::string(text->get_string()) : std::string();
}

// Those that were looked into and that the arguments name; all when they name none.
std::vector<Entity> entities_of(const boost::json::array& found, const Names& wanted) {
  std::vector<Entity> out;
  for (const auto& value : found) {
    const boost::json::object& o = value.get_object();
    Entity e{.name = text_at(o, "name"),
             .columns = {},
             .key = names_at(o, "primaryKey"),
             .cursors = names_at(o, "cursorCandidates"),
             .keys = names_at(o, "keyCandidates")};
    const auto* columns = o.if_contains("columns");
    const bool named = std::ranges::any_of(wanted, [&](const std::string& pattern) {
      return pattern == e.name || fnmatch(pattern.c_str(), e.name.c_str(), 0) == 0;
    });
    if (columns == nullptr || (!wanted.empty() && !named)) continue;
    for (const auto& column : columns->get_array()) {
      const boost::json::object& c = column.get_object();
      const auto* cursor = c.if_contains("cursor");
      e.columns.push_back({text_at(c, "name"), text_at(c, "title"),
                           cursor != nullptr && cursor->is_bool() && cursor->get_bool()});
    }
    out.push_back(std::move(e));
  }
  return out;
}

// What every entity has, in the order of the first.
Names common(const std::vector<Entity>& entities, Names Entity::* names) {
  Names out = entities.front().*names;
  for (const Entity& e : entities) {
    std::erase_if(
        out, [&](const auto& n) { return std::ranges::find(e.*names, n) == (e.*names).end(); });
  }
  return out;
}

// The one that there is, or one that is called as such columns are; "" when that is not obvious.
std::string obvious(const Names& candidates, std::span<const std::string_view> usual) {
  if (candidates.size() == 1) return candidates.front();
  for (const std::string_view name : usual) {
    const auto it = std::ranges::find_if(
        candidates, [&](const std::string& c) { return ascii_lower(c) == name; });
    if (it != candidates.end()) return *it;
  }
  return "";
}

std::string list_of(const Names& names) { return fmt::format("{}", fmt::join(names, ", ")); }

std::string trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  return std::string(trim_end(text));
}

Names split(std::string_view text) {
  Names out;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (std::string name = trimmed(text.substr(0, comma)); !name.empty())
      out.push_back(std::move(name));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

// One of several entities is named.
std::string of_entity(const std::vector<Entity>& entities, const Entity& e) {
  return entities.size() == 1 ? "" : fmt::format(" of {}", e.name);
}

Status check_column(const std::vector<Entity>& entities, const std::string& name) {
  for (const Entity& e : entities) {
    if (e.find(name) != nullptr) continue;
    std::vector<std::string_view> known;
    for (const Column& c : e.columns) known.emplace_back(c.name);
    const std::string_view near = json::nearest(name, known);
    return fail(Code::Invalid,
                fmt::format("there is no column \"{}\"{}; {}", name, of_entity(entities, e),
                            near.empty() ? "the columns are listed above"
                                         : fmt::format("did you mean \"{}\"?", near)));
  }
  return {};
}

Status check_cursor(const std::vector<Entity>& entities, const std::string& name) {
  TG_CHECK(check_column(entities, name));
  for (const Entity& e : entities) {
    const Column& c = *e.find(name);
    if (c.may_be_cursor) continue;
    return fail(
        Code::Invalid,
        fmt::format("the column \"{}\"{} is {} and cannot be a cursor; take one that can be "
                    "ordered{}",
                    name, of_entity(entities, e), c.type,
                    e.cursors.empty() ? "" : ", such as " + list_of(e.cursors)));
  }
  return {};
}

Status check_key(const std::vector<Entity>& entities, const std::string& text) {
  const Names names = split(text);
  if (names.empty()) return fail(Code::Invalid, "give at least one column");
  for (const std::string& name : names) TG_CHECK(check_column(entities, name));
  return {};
}

Status check_mode(const std::string& name) {
  if (std::ranges::find(protocol::kSyncModeNames, name) != std::end(protocol::kSyncModeNames)) {
    return {};
  }
  return fail(Code::Invalid, fmt::format("the mode must be {}, not \"{}\"",
                                         json::list_of(protocol::kSyncModeNames), name));
}

class Interview {
 public:
  Interview(cli::Context& context, cli::Args& args, const PromptParams& params)
      : context_(context), args_(args), params_(params) {}

  Status run() {
    for (const auto& [role, name, text] :
         {std::tuple{Role::Source, "SOURCE", "Copy from (path, URL or name)"},
          {Role::Destination, "DESTINATION", "Copy to (path, URL or name)"}}) {
      TG_CHECK(question(name, text, "",
                        [&](const std::string& answer) { return params_.check(role, answer); }));
    }
    if (!args_.has("incremental")) {
      TG_CHECK(question("mode", "Mode (full, full_append, incremental, incremental_append)", "full",
                        check_mode));
    }
    const std::string mode = args_.get_or("mode", "incremental");
    if (!mode.starts_with("incremental")) return {};
    const bool keyed = mode == "incremental";
    if (args_.has("cursor") && (!keyed || args_.has("key"))) return {};
    return columns(keyed);
  }

 private:
  using Check = std::function<Status(const std::string&)>;

  Status columns(bool keyed) {
    TG_TRY(const boost::json::array found, params_.discover());
    const std::vector<Entity> entities = entities_of(found, args_.all("ENTITY"));
    if (entities.empty()) {
      return fail(
          Code::Invalid,
          "the source has no such table or file with columns; give another SOURCE or ENTITY",
          "usage");
    }
    show(entities);
    TG_CHECK(check_shared(entities));
    TG_CHECK(question("cursor", "Cursor, a column that grows with every change",
                      obvious(common(entities, &Entity::cursors), kUsualCursors),
                      [&](const std::string& answer) { return check_cursor(entities, answer); }));
    return keyed ? key(entities) : Status{};
  }

  Status key(const std::vector<Entity>& entities) {
    constexpr std::string_view kUsual[] = {"id"};
    const bool own = std::ranges::none_of(entities, [](const Entity& e) { return e.key.empty(); });
    const bool one = std::ranges::all_of(
        entities, [&](const Entity& e) { return e.key == entities.front().key; });
    const std::string fallback = !own  ? obvious(common(entities, &Entity::keys), kUsual)
                                 : one ? list_of(entities.front().key)
                                       : "the source's own";
    TG_CHECK(question(
        "key", "Primary key, columns separated by commas", fallback,
        [&](const std::string& answer) { return check_key(entities, answer); }, own));
    if (args_.has("key"))
      args_.set("key", split(fmt::format("{}", fmt::join(args_.all("key"), ","))));
    return {};
  }

  // One answer is for all entities.
  static Status check_shared(const std::vector<Entity>& entities) {
    const auto shared = [&](const Column& c) {
      return std::ranges::all_of(entities,
                                 [&](const Entity& e) { return e.find(c.name) != nullptr; });
    };
    if (std::ranges::any_of(entities.front().columns, shared)) return {};
    return fail(Code::Invalid,
                fmt::format("no column is in all of them, and the cursor is one for all; name the "
                            "entity to copy behind the destination, such as {}",
                            entities.front().name),
                "usage");
  }

  void show(const std::vector<Entity>& entities) {
    for (std::size_t i = 0; i < std::min(entities.size(), kShownEntities); ++i) {
      const Entity& e = entities[i];
      std::size_t width = 0;
      for (const Column& c : e.columns) width = std::max(width, cli::columns(c.name));
      std::string text = fmt::format("Columns of {}:\n", escape_bytes(e.name));
      for (std::size_t c = 0; c < std::min(e.columns.size(), kShownColumns); ++c) {
        const Column& column = e.columns[c];
        const bool key = std::ranges::find(e.key, column.name) != e.key.end();
        text += fmt::format("  {}{}  {}{}\n", escape_bytes(column.name),
                            std::string(width - cli::columns(column.name), ' '), column.type,
                            key ? ", primary key" : "");
      }
      if (e.columns.size() > kShownColumns) {
        text += fmt::format("  … and {} more\n", e.columns.size() - kShownColumns);
      }
      context_.io.err(text);
    }
    if (entities.size() > kShownEntities) {
      context_.io.err(fmt::format("… and {} more\n", entities.size() - kShownEntities));
    }
  }

  // `left_out`: an empty answer means what the source says and is not put into the arguments: the
  // command is the same job as without -i.
  Status question(const char* name, std::string_view text, std::string_view fallback,
                  const Check& check, bool left_out = false) {
    while (!args_.has(name)) {
      context_.io.err(
          fmt::format("{}{}: ", text, fallback.empty() ? "" : fmt::format(" [{}]", fallback)));
      const bool stopped = context_.interrupted != nullptr && context_.interrupted->load();
      const auto line = stopped ? std::nullopt : context_.io.read_line();
      if (!line) return ended();
      std::string answer = trimmed(*line);
      if (answer.empty() && left_out) return {};
      if (answer.empty()) answer = std::string(fallback);
      if (answer.empty()) {
        context_.io.err("  an answer is needed\n");
        continue;
      }
      const Status right = check(answer);
      if (right) args_.set(name, {answer});
      if (!right && right.error().code == Code::Cancelled) return ended();
      if (!right) context_.io.err(fmt::format("  {}\n", describe(right.error())));
    }
    return {};
  }

  std::unexpected<Error> ended() {
    context_.io.err("\n");
    return fail(Code::Cancelled, "stopped at a question; nothing was done");
  }

  cli::Context& context_;
  cli::Args& args_;
  const PromptParams& params_;
};

}  // namespace

Status ask(cli::Context& context, cli::Args& args, const PromptParams& params) {
  return Interview(context, args, params).run();
}

}  // namespace tidegate::app
