#pragma once
// What a run's record says of its course, as lines of its log: written nowhere, so that an ordinary
// run costs no write for its log. Pure.

#include <vector>

#include "control/model/run.h"

namespace tidegate::api {

// The first stored line has seq 1; the story's last lines begin above every stored one.
inline constexpr std::int64_t kOpeningSeq = 0, kClosingSeq = 1'000'000'000;

// Why and where it started; empty while it waits.
std::vector<model::RunLogLine> opening_lines(const model::Run& run);
// Each entity with its counts, and how the run ended; empty until then. No stored line comes later.
std::vector<model::RunLogLine> closing_lines(const model::Run& run);

}  // namespace tidegate::api
