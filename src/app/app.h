#pragma once
// The `tidegate` program: everything main() needs.

#include <span>

namespace tidegate::app {

// Runs the command that argv names and returns the exit code of base/error.h: 0 done, 1 failed, 2
// the user's input, 130 interrupted. Call once, before any thread. May overwrite passwords in argv.
int run(std::span<char*> argv);

}  // namespace tidegate::app
