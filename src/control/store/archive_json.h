#pragma once
// Records of an archive as JSON: an object with one member, whose name says of what kind it is.
// Lossless. Pure; thread-safe.

#include <boost/json/object.hpp>
#include <string_view>

#include "control/store/archive.h"

namespace tidegate::store {

// "workspace", "token", "fence", "connection", "slots", "run", "log" or "job".
std::string_view kind_of(const ArchiveRecord& record);
boost::json::object to_json(const ArchiveRecord& record);
// Malformed: not such a record, or one without an id.
Result<ArchiveRecord> archive_record_from_json(const boost::json::value& v);

}  // namespace tidegate::store
