#pragma once
// From command line options to the fields of a job.

#include "cli/api_client.h"
#include "cli/command.h"

namespace tidegate::cli {

// --name, --source, …: of `jobs create` and `jobs edit`.
std::vector<Option> job_options();

// `base` (a job as the API answers it, or empty) changed by --file, by the options and by --set;
// when none is given, by the user in $EDITOR. Names of sources and destinations become ids.
Result<boost::json::object> job_from_options(ApiClient& api, const Args& args,
                                             boost::json::object base);

// The answer; in an error the fields that an option sets are followed by that option.
Result<boost::json::value> in_words_of_options(Result<boost::json::value> answer);

// "1,234": rows written by all entities of a run.
std::string rows_written(const boost::json::value& run);

}  // namespace tidegate::cli
