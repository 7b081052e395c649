#include "protocol/arguments.h"

#include <charconv>

namespace tidegate::protocol {

std::vector<std::string> AttemptArguments::encode() const {
  return {"--job", job, "--run", run, "--fence", std::to_string(fence)};
}

std::optional<AttemptArguments> AttemptArguments::decode(std::span<const std::string> arguments) {
  if (arguments.size() != 6 || arguments[0] != "--job" || arguments[2] != "--run" ||
      arguments[4] != "--fence") {
    return std::nullopt;
  }
  AttemptArguments result{.job = arguments[1], .run = arguments[3]};
  const std::string& number = arguments[5];
  const auto [end, ec] =
      std::from_chars(number.data(), number.data() + number.size(), result.fence);
  if (ec != std::errc() || end != number.data() + number.size()) return std::nullopt;
  return result;
}

AttemptArguments arguments_of(const RunSpec& run) {
  return {.job = run.job, .run = run.run_id.str(), .fence = value(run.fence)};
}

}  // namespace tidegate::protocol
