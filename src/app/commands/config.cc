#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "app/commands/commands.h"
#include "cli/output.h"

namespace tidegate::app {
namespace {

constexpr std::string_view kOrigins[] = {"default", "file", "environment", "flag"};

Result<int> print(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  boost::json::array rows;
  for (const Key& key : config_keys()) {
    const Setting& s = config.settings.find(key.name)->second;
    rows.push_back(
        boost::json::object{{"name", key.name},
                            {"value", s.value},
                            {"origin", kOrigins[static_cast<std::size_t>(s.origin)]},
                            {"from", s.where},
                            {"type", type_name(key.type)},
                            {"default", key.fallback},
                            {"needsRestart", key.needs_restart},
                            {"variable", env_name(key)},
                            {"fileVariable", key.file_twin ? env_name(key) + "_FILE" : ""},
                            {"text", key.text}});
  }
  for (const auto& [name, near] : unknown_variables_here()) {
    context.io.err(fmt::format("warning: {} means nothing to this version{}\n", name,
                               near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  }
  return cli::print(context.io, args, rows,
                    {{"KEY", "name"}, {"VALUE", "value"}, {"FROM", "from"}, {"TEXT", "text"}});
}

}  // namespace

cli::Command config_command() {
  std::vector<cli::Option> options = {cli::output_option()};
  for (cli::Option& o : config_options()) options.push_back(std::move(o));
  return {"config", "Print every configuration key, its value and where it comes from",
          std::move(options), print};
}

}  // namespace tidegate::app
