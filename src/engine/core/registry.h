#pragma once
// The explicit list of connectors. Each connector's header offers `const Connector& x_connector()`;
// engine/connectors/all.cc names them.

#include <boost/json/object.hpp>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"
#include "engine/core/source.h"

namespace tidegate::engine {

struct Connector {
  std::string_view name;   // `sqlite`; the type of a data source or destination
  std::string_view title;  // for people
  // JSON Schema (draft 2020-12) of the configuration object: `type: object`, `properties`,
  // `required`, `additionalProperties: false`. Each property has title and description. `"secret":
  // true` marks one that is encrypted and masked; `"roles": ["source"]` one that only that role
  // has.
  std::string_view spec;
  // Null: does not have that role. They validate the configuration completely (Invalid with every
  // wrong field) but touch nothing; check() and the rest do.
  Result<std::unique_ptr<Source>> (*make_source)(const boost::json::object& config,
                                                 const Context& context) = nullptr;
  Result<std::unique_ptr<Destination>> (*make_destination)(const boost::json::object& config,
                                                           const Context& context) = nullptr;
};

// Invalid naming the known ones when there is no such connector.
Result<const Connector*> find_connector(std::span<const Connector* const> all,
                                        std::string_view name);

}  // namespace tidegate::engine
