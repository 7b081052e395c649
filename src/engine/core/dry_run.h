#pragma once
// What a run would do, with the first rows, and nothing written. All rows up to the limit are read
// and checked, so that those that the run would reject are counted; only what the destination alone
// finds out when it writes (constraints of the user's, equal keys) is not.

#include <vector>

#include "engine/core/context.h"
#include "engine/core/destination.h"
#include "engine/core/selection.h"
#include "engine/core/source.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

protocol::RunResult dry_run(const protocol::RunSpec& run, const std::vector<Selected>& selected,
                            Source& source, Destination& destination, const Context& context);

}  // namespace tidegate::engine
