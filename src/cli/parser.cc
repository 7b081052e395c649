// The sole user of CLI11 (7 s to compile): tables of commands in, one Invocation out.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/json.h"
#include "base/version.h"
#include "cli/command.h"

namespace tidegate::cli {
namespace {

std::vector<std::string> words(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::size_t space = path.find(' ');
    out.emplace_back(path.substr(0, space));
    path = space == std::string_view::npos ? "" : path.substr(space + 1);
  }
  return out;
}

// `-f,--file` → `file`, `JOB` → `JOB`.
std::string key_of(const std::string& name) {
  const std::size_t dashes = name.find("--");
  return dashes == std::string::npos ? name : name.substr(dashes + 2);
}

// A positional that takes all values that are left.
bool is_rest(const Option& option) { return option.arity == Arity::Many && option.name[0] != '-'; }

struct Bound {
  const Command* command;
  CLI::App* app;
  std::vector<std::pair<const Option*, CLI::Option*>> options;
};

void bind_option(CLI::App& app, const Option& option, Bound& bound) {
  CLI::Option* o = nullptr;
  if (option.arity == Arity::Flag) {
    o = app.add_flag(option.name, option.help);
  } else {
    o = app.add_option(option.name, CLI::callback_t([](const CLI::results_t&) { return true; }),
                       option.help);
    o->type_name(option.name[0] == '-' ? option.value : "")->required(option.required);
    o->multi_option_policy(option.arity == Arity::Many ? CLI::MultiOptionPolicy::TakeAll
                                                       : CLI::MultiOptionPolicy::Throw);
    o->type_size(1)->expected(1)->allow_extra_args(false);
    if (is_rest(option)) {
      // CLI11 would take the brackets off a glob such as [ab]; what is left over is ours instead.
      o->required(false);
      app.allow_extras();
    }
  }
  bound.options.emplace_back(&option, o);
}

class Tree {
 public:
  Tree(std::span<const Command> commands, std::span<const Group> groups)
      : root_("Tidegate copies data from sources to destinations on a schedule.", "tidegate") {
    root_.require_subcommand(0, 1);
    root_.set_version_flag("--version", fmt::format("tidegate {}", version()), "Print the version");
    for (const Group& g : groups) find(g.path).description(g.summary);
    for (const Command& c : commands) {
      CLI::App& app = find(c.path);
      app.description(c.summary);
      Bound bound{&c, &app, {}};
      for (const Option& o : c.options) bind_option(app, o, bound);
      bound_.push_back(std::move(bound));
    }
    root_.footer("Run `tidegate COMMAND --help` for the options of one command.");
  }

  CLI::App& root() { return root_; }

  // The innermost command whose words were given.
  CLI::App& deepest() {
    CLI::App* app = &root_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return *app;
  }
  const Bound* bound(const CLI::App& app) const {
    const auto it = std::ranges::find(bound_, &app, [](const Bound& b) { return b.app; });
    return it == bound_.end() ? nullptr : &*it;
  }
  static std::string help(const CLI::App& app) {
    const CLI::App* parent = app.get_parent();
    return app.help(parent ? full_name(*parent) : "");
  }
  static std::string full_name(const CLI::App& app) {
    const CLI::App* parent = app.get_parent();
    return parent ? full_name(*parent) + " " + app.get_name() : app.get_name();
  }

 private:
  CLI::App& find(const std::string& path) {
    CLI::App* app = &root_;
    for (const std::string& word : words(path)) {
      CLI::App* next = nullptr;
      for (CLI::App* sub : app->get_subcommands([](CLI::App*) { return true; })) {
        if (sub->get_name() == word) next = sub;
      }
      if (!next) {
        next = app->add_subcommand(word);
        next->require_subcommand(0, 1);
      }
      app = next;
    }
    return *app;
  }

  CLI::App root_;
  std::vector<Bound> bound_;
};

std::unexpected<Error> usage_error(std::string message, const CLI::App& at) {
  return fail(Code::Invalid, fmt::format("{} (see `{} --help`)", message, Tree::full_name(at)),
              "usage");
}

// The words that could stand where `word` does.
std::string suggestion(const CLI::App& app, std::string_view word) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  for (const CLI::Option* o : app.get_options()) {
    if (!o->get_lnames().empty()) names.push_back("--" + o->get_lnames().front());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = json::nearest(word.substr(0, word.find('=')), views);
  return near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
}

std::unexpected<Error> no_command(const CLI::App& at, std::string_view word) {
  return usage_error(fmt::format("there is no command \"{}\"{}", word, suggestion(at, word)), at);
}

// What is left over of the words, when it stands where a command should.
std::string unknown_command(Tree& tree) {
  const std::vector<std::string> extra = tree.root().remaining(true);
  if (extra.empty() || extra.front().starts_with('-') || tree.bound(tree.deepest())) return "";
  return extra.front();
}

// An option that takes one value and was given more than once; "": there is none.
std::string given_twice(const Bound* bound) {
  if (bound == nullptr) return "";
  for (const auto& [option, parsed] : bound->options) {
    if (option->arity == Arity::One && parsed->results().size() > 1) return option->name;
  }
  return "";
}

std::unexpected<Error> explain(Tree& tree, const CLI::ParseError& e) {
  CLI::App& app = tree.deepest();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e)) {
    if (const std::string name = given_twice(tree.bound(app)); !name.empty()) {
      return usage_error(fmt::format("{} is given more than once; give it once", name), app);
    }
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&e)) {
    if (const std::string word = unknown_command(tree); !word.empty()) return no_command(app, word);
    const std::vector<std::string> extra = tree.root().remaining(true);
    const std::string word = extra.empty() ? "" : extra.front();
    const std::string_view kind = word.starts_with('-') ? "option" : "value";
    return usage_error(fmt::format("unexpected {} \"{}\"{}", kind, word, suggestion(app, word)),
                       app);
  }
  return usage_error(e.what(), app);
}

Status check_choices(const Bound& bound, const Option& option,
                     const std::vector<std::string>& values) {
  if (option.choices.empty()) return {};
  for (const std::string& value : values) {
    if (std::ranges::find(option.choices, value) != option.choices.end()) continue;
    const std::vector<std::string_view> views(option.choices.begin(), option.choices.end());
    return usage_error(
        fmt::format("{} must be {}, not \"{}\"", option.name, json::list_of(views), value),
        *bound.app);
  }
  return {};
}

Result<Args> collect(const Bound& bound) {
  Args args;
  for (const auto& [option, parsed] : bound.options) {
    std::vector<std::string> values = parsed->results();
    if (is_rest(*option)) {
      bool options = true;  // until `--`
      for (std::string& word : bound.app->remaining()) {
        if (options && word == "--") {
          options = false;
          continue;
        }
        if (options && word.starts_with('-') && word.size() > 1) {
          return usage_error(
              fmt::format("unexpected option \"{}\"{}", word, suggestion(*bound.app, word)),
              *bound.app);
        }
        values.push_back(std::move(word));
      }
      if (values.empty() && option->required)
        return usage_error(option->name + " is required", *bound.app);
    }
    if (values.empty() && parsed->count() == 0) continue;
    TG_CHECK(check_choices(bound, *option, values));
    args.set(key_of(option->name), std::move(values));
  }
  return args;
}

}  // namespace

Result<Invocation> parse(std::span<const Command> commands, std::span<const Group> groups,
                         const std::vector<std::string>& args) {
  try {
    Tree tree(commands, groups);
    std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 wants them
    try {
      tree.root().parse(std::move(reversed));
    } catch (const CLI::CallForVersion& e) {
      return Invocation{.help = fmt::format("{}\n", e.what())};
    } catch (const CLI::CallForHelp&) {
      const std::string word = unknown_command(tree);
      if (!word.empty()) return no_command(tree.deepest(), word);
      return Invocation{.help = Tree::help(tree.deepest())};
    } catch (const CLI::ParseError& e) {
      return explain(tree, e);
    }
    CLI::App& app = tree.deepest();
    const Bound* bound = tree.bound(app);
    if (!bound) return Invocation{.help = Tree::help(app)};
    TG_TRY(Args parsed, collect(*bound));
    return Invocation{bound->command, std::move(parsed), {}};
  } catch (const std::exception& e) {  // CLI11 reports a wrong table by exceptions
    return fail(Code::Internal, fmt::format("the command table is wrong: {}", e.what()));
  }
}

}  // namespace tidegate::cli
