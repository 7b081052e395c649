#pragma once
// Text files whose last line has no line end: is it whole, or still being written? Taken too early,
// the first half of a row stays beside the whole one that a later run appends.

#include <memory>
#include <span>

#include "engine/connectors/file/bytes.h"
#include "engine/core/context.h"

namespace tidegate::engine::file {

// A last line without an end counts as whole once nobody has written to the file for this long.
inline constexpr Millis kLineIsWhole{2000};

// Waits until that is known of every file that is text: at most kLineIsWhole, by real time. Those
// that grow meanwhile are read up to their last line end. Cancelled, Unavailable (I/O).
Status settle_last_lines(std::span<const std::shared_ptr<InputFile>> files, const Context& context);

}  // namespace tidegate::engine::file
