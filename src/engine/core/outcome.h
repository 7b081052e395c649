#pragma once
// What a run, or a look at one, came to: its parts and the whole.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/core/catalog.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// The exit code for a failed run of that kind.
protocol::ExitCode exit_code(std::string_view error_kind);

// A request that came to nothing but this error.
protocol::RunResult failed(const Error& error);

protocol::EntityResult failed_entity(const std::string& name, const Error& error);
protocol::EntityResult skipped_entity(const std::string& name, std::string why);

// An empty file among others says nothing, not even that its rows are gone. (Alone it is refused: a
// run that can do nothing is no success.)
bool skipped_without_columns(const EntityInfo& info, std::size_t selected);
protocol::EntityResult without_columns(const EntityInfo& info);

// The warning about rows_superseded.
std::string superseded_words(std::int64_t rows, const std::vector<std::string>& key);

// The run's own error from those of its entities. What ends the run comes first; a mixture is worth
// a retry when a part of it is (only the failed ones run again).
void summarize(protocol::RunResult& result);

}  // namespace tidegate::engine
