#pragma once
// The factories behind file_connector().

#include <boost/json/fwd.hpp>
#include <memory>

#include "engine/core/context.h"
#include "engine/core/destination.h"
#include "engine/core/source.h"

namespace tidegate::engine::file {

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context);
Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context);

}  // namespace tidegate::engine::file
