#include <fmt/format.h>

#include "app/commands/commands.h"
#include "base/version.h"

namespace tidegate::app {

cli::Command version_command() {
  return {"version",
          "Print the version",
          {},
          [](cli::Context& context, const cli::Args&) -> Result<int> {
            context.io.out(fmt::format("tidegate {}\n", version()));
            return 0;
          }};
}

}  // namespace tidegate::app
