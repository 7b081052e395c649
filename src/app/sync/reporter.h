#pragma once
// What a person or a pipe sees of a serverless run.

#include <chrono>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "protocol/protocol.h"

namespace tidegate::app {

// Bars on a terminal's stderr; with `json`, one line an event on stdout, the last one the result.
// Not thread-safe.
class SyncReporter {
 public:
  SyncReporter(const cli::Io& io, bool json);

  void on_event(const protocol::Event& event);
  // Redraws; call a few times a second.
  void tick();
  // The result, as a table or the last line; its `code` is `exit_code`, the process's own.
  // REQUIRES: called once, last.
  void finish(const protocol::RunResult& result, int exit_code);

 private:
  cli::ProgressRow& row(const std::string& entity);
  std::chrono::milliseconds elapsed() const;

  const cli::Io& io_;
  const bool json_;
  cli::ProgressView view_;
  std::vector<cli::ProgressRow> rows_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tidegate::app
