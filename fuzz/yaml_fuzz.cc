// Any text as a YAML file of a user: as a configuration, and as what `tidegate apply` declares.
// Beside crashes it looks for a document that is written and read again as something else, and for
// a plan that would change what is already so.

#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <string>
#include <string_view>

#include "app/config/config.h"
#include "cli/apply_plan.h"
#include "cli/yaml.h"

namespace {

using namespace tidegate;

void require(bool holds) {
  if (!holds) std::abort();
}

std::optional<std::string> no_variables(const std::string& name) {
  if (name == "SET") return "value";
  return std::nullopt;
}

void as_configuration(std::string_view text) {
  app::ConfigInput input;
  input.env = no_variables;
  input.file = "tidegate.yaml";
  input.file_text = text;
  input.program = "/usr/bin/tidegate";
  const auto config = app::load_config(input);
  if (config) {
    require(config->max_concurrent_runs > 0 && config->drain.count() >= 0);
  } else {
    require(!config.error().message.empty());
  }
}

void as_declaration(const boost::json::value& document) {
  const auto declared = cli::read_declared(document, {});
  if (!declared) {
    require(!declared.error().message.empty());
    return;
  }
  const cli::ApplyPlan plan = cli::plan_apply(*declared, {}, true, true);
  require(!cli::format_plan(plan).empty());
  for (const cli::Change& change : plan.changes) {
    require(change.kind == cli::ChangeKind::Create);
    cli::api_body(change, {}, {});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 8192) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  as_configuration(text);
  const auto document = cli::read_yaml(text, "file.yaml");
  if (!document) return 0;
  const auto again = cli::read_yaml(cli::write_yaml(*document), "again.yaml");
  require(again.has_value() && boost::json::serialize(*again) == boost::json::serialize(*document));
  const auto expanded = cli::expand_env(*document, no_variables);
  if (expanded) as_declaration(*expanded);
  return 0;
}
