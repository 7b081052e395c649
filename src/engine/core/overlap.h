#pragma once
// A source and a destination that are one file: rows would double, or the source be overwritten.

#include <vector>

#include "base/error.h"
#include "engine/core/destination.h"
#include "engine/core/selection.h"
#include "engine/core/source.h"

namespace tidegate::engine {

// Invalid, naming both settings, when an entity's file in the destination is one that the source
// reads: the same device and inode, so also through links. REQUIRES: source.discover() was called.
Status refuse_overlap(const Source& source, const Destination& destination,
                      const std::vector<Selected>& selected);

}  // namespace tidegate::engine
