#pragma once
// Runs, the ledger and log lines as the API writes them. Pure; thread-safe.

#include <boost/json/object.hpp>

#include "control/model/run.h"

namespace tidegate::model {

// `waitReason` and `notBefore` are set while the run is queued.
boost::json::object to_json(const Run& run);
boost::json::object to_json(const LedgerEntry& entry);
boost::json::object to_json(const RunLogLine& line);

}  // namespace tidegate::model
