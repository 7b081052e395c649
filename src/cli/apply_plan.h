#pragma once
// `tidegate apply` and `export`: a file of sources, destinations and jobs against what a server
// has. Pure: no network, no file.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace tidegate::cli {

enum class Section : std::uint8_t { Source, Destination, Job };
inline constexpr std::string_view kSectionNames[] = {"source", "destination", "job"};
std::string_view section_path(Section section);  // `/data-sources`

// The file, by name. A connection is {type, config}; a job has the API's fields, with `source` and
// `destination` (names) instead of the ids and without `name`.
struct Declared {
  std::map<std::string, boost::json::object> items[3];  // by Section
};
// Invalid with every wrong field: unknown section or field, wrong type, a job that refers to a name
// that is neither in the file nor in `existing`, an invalid job (model/job_json.h).
struct Existing {
  boost::json::array items[3];  // as the API lists them
};
Result<Declared> read_declared(const boost::json::value& document, const Existing& existing);

enum class ChangeKind : std::uint8_t { Create, Update, Delete };
struct Change {
  ChangeKind kind;
  Section section;
  std::string name;
  std::string id, revision;       // of what exists
  boost::json::object body;       // in the file's form, see api_body()
  std::vector<std::string> diff;  // `schedule.cron: "0 * * * *" → "5 * * * *"`
};
struct ApplyPlan {
  std::vector<Change> changes;  // in an order that can be executed
  std::vector<std::string> notes;
  std::size_t unchanged = 0;
};
// What makes the server equal to the file: a field that the file leaves out has its default. With
// `prune`, what the file does not name is deleted, but for what its jobs use. Secrets answer as ***
// and are taken as equal, unless `send_secrets`, which updates every connection that has one.
ApplyPlan plan_apply(const Declared& declared, const Existing& existing, bool prune,
                     bool send_secrets);

// `+ source x`, `~ job y` with the diff below it, `- …`, and the sum.
std::string format_plan(const ApplyPlan& plan);

// {action: create | update | delete, kind: source | destination | job, name, diff}.
boost::json::object change_json(const Change& change);

// A body for POST or PUT: names of connections replaced by `ids` (name → id).
boost::json::object api_body(const Change& change,
                             const std::map<std::string, std::string>& source_ids,
                             const std::map<std::string, std::string>& destination_ids);

// The file that would make `existing`. Secrets become ${NAME} to be set by the user.
boost::json::object export_file(const Existing& existing);

}  // namespace tidegate::cli
