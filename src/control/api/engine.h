#pragma once
// What the API asks the sync engine; the server itself links no connector.

#include <boost/json/value.hpp>
#include <memory>

#include "base/error.h"
#include "protocol/protocol.h"

namespace tidegate::api {

// Thread-safe; every method blocks, bounded in time (launch/engine_client.h).
class Engine {
 public:
  virtual ~Engine() = default;
  // {connectors: [{name, title, roles, spec}]}; cached.
  virtual Result<std::shared_ptr<const boost::json::value>> spec() = 0;
  // {ok, message}. A connection that does not work is an answer, not an error.
  virtual Result<boost::json::value> check(protocol::Endpoint endpoint, bool source) = 0;
  // {entities: […]}. Invalid: the connection does not work.
  virtual Result<boost::json::value> discover(protocol::Endpoint endpoint, bool source) = 0;
};

}  // namespace tidegate::api
