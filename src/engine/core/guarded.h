#pragma once
// Where exceptions end.

#include <fmt/format.h>

#include <exception>

#include "base/error.h"

namespace tidegate::engine {

// A connector's library may throw (allocation, Boost.JSON); nothing may end the process with other
// entities unfinished. `step` gives a Status or a Result.
template <class Step>
auto guarded(const Step& step) -> decltype(step()) {
  try {
    return step();
  } catch (const std::exception& e) {
    return fail(Code::Internal, fmt::format("unexpected failure: {}", e.what()));
  }
}

}  // namespace tidegate::engine
