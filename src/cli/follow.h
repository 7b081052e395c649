#pragma once
// Waiting for a run and reading its log: shared by `jobs` and `runs`.

#include <string>

#include "cli/api_client.h"

namespace tidegate::cli {

// Polls until the run has ended, with progress bars on a terminal, else with a line on stderr for
// each change of its state; the run. Cancelled on Ctrl-C,
// after saying that the run goes on.
Result<boost::json::object> wait_for_run(ApiClient& api, const std::string& run_id);

// Prints the lines of a run's log; with `follow`, also those to come until the run has ended.
Status print_log(ApiClient& api, const std::string& run_id, bool follow);

// The exit code for an ended run: 0 succeeded, 130 cancelled, else 1.
int exit_code_of(const boost::json::object& run);

}  // namespace tidegate::cli
