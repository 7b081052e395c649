#pragma once
// A source and a destination that are one: rows would double, or the source be overwritten.

#include <vector>

#include "base/error.h"
#include "engine/core/destination.h"
#include "engine/core/selection.h"
#include "engine/core/source.h"

namespace tidegate::engine {

// Invalid, naming both settings, when an entity's file in the destination is one that the source
// reads: the same device and inode, so also through links. Of tables only the entities that would
// be read from what this run writes are left out: with an error, or with a note when the filter
// merely does not exclude them. REQUIRES: source.discover() was called.
Status keep_apart(Source& source, Destination& destination, const protocol::RunSpec& run,
                  std::vector<Selected>& selected);

}  // namespace tidegate::engine
