#include "app/sync/prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <iterator>
#include <optional>
#include <ranges>
#include <span>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "cli/api_client.h"
#include "cli/output.h"
#include "protocol/protocol.h"

namespace tidegate::app {
namespace {

using Names = std::vector<std::string>;

constexpr std::size_t kShownEntities = 5, kShownColumns = 100;

// Columns that are called so are changed with every change of their row.
constexpr std::string_view kUsualCursors[] = {"updated_at",  "updatedat",    "modified_at",
                                              "modifiedat",  "updated",      "modified",
                                              "last_update", "last_updated", "last_modified"};

// Of numbers and most dates written as text, the greatest is not the newest.
constexpr std::string_view kTextCursor =
    ", as a cursor compared letter by letter (fits ISO dates, not 9 before 10)";

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

// What discover tells of the entities that the arguments name; of all when they name none.
struct Found {
  std::vector<Entity> entities;  // with columns: a run skips a file without
  Names unseen;                  // that nobody looked into
  Names faults;                  // "name: why it cannot be read"
};

Names names_at(const boost::json::value& entity, std::string_view member) {
  Names out;
  const auto* items = cli::at_path(entity, member).if_array();
  if (items == nullptr) return out;
  for (const auto& item : *items) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

Entity entity_of(const boost::json::value& value, const boost::json::array& columns) {
  Entity e{.name = cli::text_at(value, "name"),
           .columns = {},
           .key = names_at(value, "primaryKey"),
           .cursors = names_at(value, "cursorCandidates"),
           .keys = names_at(value, "keyCandidates")};
  for (const auto& c : columns) {
    const bool* cursor = cli::at_path(c, "cursor").if_bool();
    e.columns.push_back(
        {cli::text_at(c, "name"), cli::text_at(c, "title"), cursor != nullptr && *cursor});
  }
  return e;
}

Found look_up(const boost::json::array& entities, const Names& wanted) {
  Found out;
  for (const auto& value : entities) {
    std::string name = cli::text_at(value, "name");
    if (!wanted.empty() && std::ranges::none_of(wanted, [&](const std::string& pattern) {
          return protocol::matches(pattern, name);
        })) {
      continue;
    }
    const auto* columns = cli::at_path(value, "columns").if_array();
    if (const std::string why = cli::text_at(value, "error"); !why.empty()) {
      out.faults.push_back(fmt::format("{}: {}", name, why));
    } else if (columns == nullptr) {
      out.unseen.push_back(std::move(name));
    } else if (!columns->empty()) {
      out.entities.push_back(entity_of(value, *columns));
    }
  }
  return out;
}

// What every entity has, in the order of the first.
Names common(const std::vector<Entity>& entities, Names Entity::* names) {
  Names out = entities.empty() ? Names{} : entities.front().*names;
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

// The same, as an answer.
std::string answer_of(const Names& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + cli::list_item(name);
  return out;
}

// The first ones, indented.
std::string lines_of(const Names& names) {
  std::string out;
  for (const std::string& name : names | std::views::take(kShownEntities)) {
    out += fmt::format("  {}\n", escape_controls(name));
  }
  if (names.size() > kShownEntities) {
    out += fmt::format("  … and {} more\n", names.size() - kShownEntities);
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
  const Names names = cli::split_list(text);
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

// What a shell would have made of it: no quotes around it, the home folder in the place of `~`.
std::string as_in_shell(const cli::Io& io, std::string path) {
  const bool quoted = path.size() > 1 && path.front() == path.back() &&
                      (path.front() == '"' || path.front() == '\'');
  if (quoted) path = path.substr(1, path.size() - 2);
  if (path != "~" && !path.starts_with("~/")) return path;
  const auto home = io.env("HOME");
  return home ? *home + path.substr(1) : path;
}

class Interview {
 public:
  Interview(cli::Context& context, cli::Args& args, const PromptParams& params)
      : context_(context), args_(args), params_(params) {}

  Status run() {
    asked_source_ = !args_.has("SOURCE");
    TG_CHECK(place(Role::Source));
    TG_CHECK(place(Role::Destination));
    if (!args_.has("incremental")) {
      TG_CHECK(question("mode", "Mode (full, full_append, incremental, incremental_append)", "full",
                        [&](const std::string& answer) -> Status {
                          TG_CHECK(check_mode(answer));
                          return params_.check_mode(answer);
                        }));
    }
    const std::string mode = args_.get_or("mode", "incremental");
    if (!mode.starts_with("incremental")) return {};
    const bool keyed = mode == "incremental";
    if (args_.has("cursor") && (!keyed || args_.has("key"))) return {};
    return columns(keyed);
  }

 private:
  // What is wrong with an answer, which it may complete.
  using Check = std::function<Status(std::string&)>;

  Status place(Role role) {
    const bool source = role == Role::Source;
    return question(source ? "SOURCE" : "DESTINATION",
                    source ? "Copy from (path, URL or name)" : "Copy to (path, URL or name)", "",
                    [&](std::string& answer) {
                      answer = as_in_shell(context_.io, std::move(answer));
                      return params_.check(role, answer);
                    });
  }

  Status columns(bool keyed) {
    TG_TRY(const Found source, entities_to_copy());
    const std::vector<Entity>& entities = source.entities;
    show(source);
    TG_CHECK(question("cursor", "Cursor, a column that grows with every change",
                      obvious(common(entities, &Entity::cursors), kUsualCursors),
                      [&](const std::string& answer) { return check_cursor(entities, answer); }));
    return keyed ? key(entities) : Status{};
  }

  // A choice that nothing can be made of is asked for: the entities where there are some, else the
  // source, unless the command names it.
  Result<Found> entities_to_copy() {
    for (;;) {
      TG_TRY(const boost::json::array found, params_.discover());
      const Found all = look_up(found, {});
      Names names;
      for (const Entity& e : all.entities) names.push_back(e.name);
      std::ranges::copy(all.unseen, std::back_inserter(names));
      const auto check = [&](const Names& chosen) { return check_choice(look_up(found, chosen)); };
      const Status right = check(args_.all("ENTITY"));
      if (right) return look_up(found, args_.all("ENTITY"));
      if (names.empty() && !asked_source_) return std::unexpected(right.error());
      tell(right.error());
      if (names.empty()) {
        args_.erase("SOURCE");
        TG_CHECK(place(Role::Source));
        continue;
      }
      context_.io.err("There are:\n" + lines_of(names));
      args_.erase("ENTITY");
      TG_CHECK(question("ENTITY", "Copy which of them (names or globs, separated by commas)", "",
                        [&](const std::string& answer) { return check(cli::split_list(answer)); }));
      args_.set("ENTITY", cli::split_list(args_.get_or("ENTITY", "")));
      return look_up(found, args_.all("ENTITY"));
    }
  }

  static Status check_choice(const Found& source) {
    if (!source.entities.empty() || !source.unseen.empty()) return check_shared(source.entities);
    if (!source.faults.empty()) {
      return fail(Code::Invalid,
                  fmt::format("nothing can be read:\n{}", trim_end(lines_of(source.faults))));
    }
    return fail(Code::Invalid,
                "the source has no such table or file with columns; give another SOURCE or ENTITY",
                "usage");
  }

  Status key(const std::vector<Entity>& entities) {
    constexpr std::string_view kUsual[] = {"id"};
    const auto keyed =
        std::ranges::count_if(entities, [](const auto& e) { return !e.key.empty(); });
    const bool own = keyed > 0 && std::cmp_equal(keyed, entities.size());
    const bool one = std::ranges::all_of(
        entities, [&](const Entity& e) { return e.key == entities.front().key; });
    // One key for all takes the place of those that some have: only a person can want that.
    std::string fallback;
    if (own) {
      fallback = one ? answer_of(entities.front().key) : "the source's own";
    } else if (keyed == 0) {
      const std::string name = obvious(common(entities, &Entity::keys), kUsual);
      if (!name.empty()) fallback = cli::list_item(name);
    }
    // A candidate of a file only has the name of a key.
    if (!own) {
      context_.io.err("Rows that share their primary key become one: it must be unique.\n");
    }
    TG_CHECK(question(
        "key", "Primary key, columns separated by commas", fallback,
        [&](const std::string& answer) { return check_key(entities, answer); }, own));
    return {};
  }

  // One answer is for all entities.
  static Status check_shared(const std::vector<Entity>& entities) {
    const auto shared = [&](const Column& c) {
      return std::ranges::all_of(entities,
                                 [&](const Entity& e) { return e.find(c.name) != nullptr; });
    };
    if (entities.empty() || std::ranges::any_of(entities.front().columns, shared)) return {};
    return fail(Code::Invalid,
                fmt::format("no column is in all of them, and the cursor is one for all; name the "
                            "entity to copy, such as {}",
                            entities.front().name),
                "usage");
  }

  void show(const Found& source) {
    for (const Entity& e : source.entities | std::views::take(kShownEntities)) show(e);
    if (source.entities.size() > kShownEntities) {
      context_.io.err(fmt::format("… and {} more\n", source.entities.size() - kShownEntities));
    }
    if (!source.unseen.empty()) {
      context_.io.err("Not looked into, so their columns are not checked here:\n" +
                      lines_of(source.unseen));
    }
    if (!source.faults.empty()) {
      context_.io.err("These cannot be read, and the run would fail:\n" + lines_of(source.faults));
    }
  }

  void show(const Entity& e) {
    Names names;
    std::size_t width = 0;
    for (const Column& c : e.columns | std::views::take(kShownColumns)) {
      width = std::max(width, cli::columns(names.emplace_back(escape_controls(c.name))));
    }
    std::string text = fmt::format("Columns of {}:\n", escape_controls(e.name));
    for (std::size_t c = 0; c < names.size(); ++c) {
      const Column& column = e.columns[c];
      const bool key = std::ranges::find(e.key, column.name) != e.key.end();
      text += fmt::format("  {}{}  {}{}{}\n", names[c],
                          std::string(width - cli::columns(names[c]), ' '),
                          escape_controls(column.type), key ? ", primary key" : "",
                          column.type == "text" && column.may_be_cursor ? kTextCursor : "");
    }
    if (e.columns.size() > kShownColumns) {
      text += fmt::format("  … and {} more\n", e.columns.size() - kShownColumns);
    }
    context_.io.err(text);
  }

  // `left_out`: an empty answer means what the source says and is not put into the arguments: the
  // command is the same job as without -i.
  Status question(const char* name, std::string_view text, std::string_view fallback,
                  const Check& check, bool left_out = false) {
    while (!args_.has(name)) {
      context_.io.err(fmt::format(
          "{}{}: ", text, fallback.empty() ? "" : fmt::format(" [{}]", escape_controls(fallback))));
      const bool stopped = context_.interrupted != nullptr && context_.interrupted->load();
      const auto line = stopped ? std::nullopt : context_.io.read_line();
      if (!line) return ended();
      std::string answer(trim(*line));
      if (answer.empty() && left_out) return {};
      if (answer.empty()) answer = std::string(fallback);
      if (answer.empty()) {
        context_.io.err("  an answer is needed\n");
        continue;
      }
      const Status right = check(answer);
      if (right) args_.set(name, {answer});
      if (!right && right.error().code == Code::Cancelled) return ended();
      if (!right) tell(right.error());
    }
    return {};
  }

  void tell(const Error& error) {
    context_.io.err(fmt::format("  {}\n", escape_controls(describe(error), "\n\t")));
  }

  std::unexpected<Error> ended() {
    context_.io.err("\n");
    return fail(Code::Cancelled, "stopped at a question; nothing was done");
  }

  cli::Context& context_;
  cli::Args& args_;
  const PromptParams& params_;
  bool asked_source_ = false;  // and not named by the command
};

}  // namespace

Status ask(cli::Context& context, cli::Args& args, const PromptParams& params) {
  return Interview(context, args, params).run();
}

}  // namespace tidegate::app
