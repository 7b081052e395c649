#pragma once
// Which members of a connection's configuration are secret, and their way into and out of the
// store. A secret member is one whose property in the connector's spec (JSON Schema) says "secret":
// true, at any depth. In a stored configuration it is {"$sealed": "…"}; the plain value is any
// JSON.

#include <boost/json/object.hpp>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/rng.h"
#include "control/model/connection.h"
#include "control/secrets/key_ring.h"
#include "protocol/protocol.h"

namespace tidegate::secrets {

// The stored form of a plain configuration. A secret given as "***" keeps what `previous` (stored
// form, may be null) has at the same place; where it has none, a detail is added to `errors`.
// `field` prefixes reported names ("config").
boost::json::object seal_config(const KeyRing& keys, Rng& rng, const ConnectionId& id,
                                const boost::json::object& spec, const boost::json::object& plain,
                                const boost::json::object* previous,
                                std::vector<FieldError>& errors);

// The plain configuration. Errors as KeyRing::open, naming the member.
Result<boost::json::object> open_config(const KeyRing& keys, const ConnectionId& id,
                                        const boost::json::object& stored);

// Seals again what was not sealed with the first key. True: `stored` changed.
Result<bool> rotate_config(const KeyRing& keys, Rng& rng, const ConnectionId& id,
                           boost::json::object& stored);

// Opens connections for the engine. Thread-safe. REQUIRES: keys outlives this.
class EndpointResolver {
 public:
  explicit EndpointResolver(const KeyRing& keys) : keys_(keys) {}
  // With its secrets in plain text: hand it to the engine's pipe and to nothing else.
  Result<protocol::Endpoint> open(const model::Connection& connection) const;

 private:
  const KeyRing& keys_;
};

}  // namespace tidegate::secrets
