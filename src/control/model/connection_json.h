#pragma once
// Connections, workspaces, tokens and workers as the API writes them. Pure; thread-safe.

#include <boost/json/object.hpp>

#include "control/model/connection.h"

namespace tidegate::model {

// The member name that marks a sealed value in Connection::config: {"$sealed": "…"}.
inline constexpr std::string_view kSealedKey = "$sealed";
bool is_sealed(const boost::json::value& v);

// Sealed values, at any depth, become "***"; the ciphertext does not leave the server either.
boost::json::object mask_config(const boost::json::object& config);
boost::json::object to_json(const Connection& connection);
boost::json::object to_json(const Workspace& workspace);
boost::json::object to_json(const Token& token);  // without the hash
boost::json::object to_json(const WorkerInfo& worker);

}  // namespace tidegate::model
