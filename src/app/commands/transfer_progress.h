#pragma once
// What a person or a pipe sees of a backup and a restore.

#include <boost/json/object.hpp>
#include <chrono>
#include <string>

#include "app/commands/commands.h"
#include "cli/output.h"
#include "control/archive/backup.h"

namespace tidegate::app {

// One line on a terminal's stderr that is written over; else JSON lines on stdout, about one a
// second, the last one the result. Not thread-safe.
class TransferProgress {
 public:
  // Ctrl-C is caught from here on. `stopped`: what to say then.
  TransferProgress(cli::Context& context, std::string stopped);

  // Cancelled once the context was interrupted.
  Status step(std::int64_t records);
  archive::Progress callback() {
    return [this](std::int64_t records) { return step(records); };
  }
  void clear();  // the line on the terminal, before anything else is written there
  void finish(const boost::json::object& result, const std::vector<cli::Column>& columns);

 private:
  using Steady = std::chrono::steady_clock;
  cli::Context& context_;
  const std::string stopped_;
  Steady::time_point next_ = Steady::now();
  bool drawn_ = false;
};

}  // namespace tidegate::app
