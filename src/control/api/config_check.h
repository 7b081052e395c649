#pragma once
// A connection's configuration against its connector's spec.

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/api/engine.h"
#include "control/model/connection.h"

namespace tidegate::api {

// The JSON Schema of connector `type`, without the properties that only the other kind has. Invalid
// (field "type") naming the known ones, when no connector of that name has that role.
Result<boost::json::object> connector_spec(Engine& engine, std::string_view type,
                                           model::ConnectionKind kind);

// One FieldError below `path` for each wrong member: unknown (with the nearest name), missing, of
// the wrong type, or against another rule of the schema. Messages never hold a value.
void check_config(const boost::json::object& spec, const boost::json::object& config,
                  const std::string& path, std::vector<FieldError>& errors);

}  // namespace tidegate::api
