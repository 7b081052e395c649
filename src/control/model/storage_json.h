#pragma once
// The lossless form in which stores keep values: compact, times and durations in milliseconds, and
// decoded without the API's checks, so that what was once accepted can always be read. A field that
// is absent takes its default: older records stay readable when fields are added. Pure;
// thread-safe.

#include <boost/json/value.hpp>
#include <map>
#include <string>

#include "base/error.h"
#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"

namespace tidegate::model {

// Whole values: every field of the struct. *_from_stored: Internal when `v` is not such a value.
boost::json::object to_stored(const JobSpec& spec);
Result<JobSpec> job_spec_from_stored(const boost::json::value& v);

boost::json::object to_stored(const SyncJob& job);
Result<SyncJob> job_from_stored(const boost::json::value& v);

boost::json::object to_stored(const Run& run);
Result<Run> run_from_stored(const boost::json::value& v);

boost::json::object to_stored(const Connection& connection);
Result<Connection> connection_from_stored(const boost::json::value& v);

boost::json::object to_stored(const Workspace& workspace);
Result<Workspace> workspace_from_stored(const boost::json::value& v);

boost::json::object to_stored(const Token& token);
Result<Token> token_from_stored(const boost::json::value& v);

boost::json::object to_stored(const SlotRecord& record);
Result<SlotRecord> slot_record_from_stored(const boost::json::value& v);

boost::json::object to_stored(const RunLogLine& line);
Result<RunLogLine> log_line_from_stored(const boost::json::value& v);

// Parts that a store may keep in a column of their own.
// Of a run what is no single value: what is left to do, entities, progress, attempts, warnings.
// run_from_stored reads it, too.
boost::json::object run_detail_to_stored(const Run& run);
boost::json::object to_stored(const std::map<std::string, protocol::KnownState>& states);
Result<std::map<std::string, protocol::KnownState>> known_state_from_stored(
    const boost::json::value& v);
boost::json::object to_stored(const std::map<std::string, EntityProgress>& progress);
Result<std::map<std::string, EntityProgress>> progress_from_stored(const boost::json::value& v);

}  // namespace tidegate::model
