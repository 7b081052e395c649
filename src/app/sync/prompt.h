#pragma once
// What `tidegate sync -i` asks a person: only what is missing. A wrong answer is told what is wrong
// with it, and asked for again, also where only a later one shows it.

#include <boost/json/array.hpp>
#include <functional>
#include <string>

#include "app/sync/endpoint.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace tidegate::app {

struct PromptParams {
  // What is wrong with an answer to SOURCE or DESTINATION, beside what `args` has already.
  std::function<Status(Role role, const std::string& text)> check;
  // What is wrong with that mode for what `args` has as DESTINATION.
  std::function<Status(const std::string& mode)> check_mode;
  // The source's entities, as the engine's `discover` tells them (docs/protocol.md). Called once
  // SOURCE is known, and only when columns are asked for.
  std::function<Result<boost::json::array>()> discover;
};

// Puts the answers into `args`. Cancelled: Ctrl-C or the end of the input. Invalid: the SOURCE that
// `args` names has nothing to choose from.
Status ask(cli::Context& context, cli::Args& args, const PromptParams& params);

}  // namespace tidegate::app
