#pragma once
// What a simulated life brought to light: broken promises, and how often each kind of fault bit.

#include <array>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace tidegate::sim {

enum class FaultKind : std::uint8_t {
  ErrorBefore,
  ErrorAfter,
  LateEffect,
  Delay,
  Outage,
  WorkerCrash,
  ChildCrash,
  ChildFailure,
  Pause,
  PauseButNotChild,
  PauseInCall,
  Drain,
  Skew,
  ClockStep,
  WatchLost,
  WatchTwice,
  WatchLate,
};
inline constexpr std::string_view kFaultNames[] = {
    "error before the effect",
    "error after the effect (answer lost)",
    "effect after the sender gave up",
    "delay of a request or an answer",
    "request while the store was away",
    "worker killed while it held runs",
    "child killed",
    "child failed, stalled or hung",
    "worker and children stopped",
    "worker stopped, children not",
    "worker stopped within a call",
    "worker drained while it held runs",
    "runs claimed under a skewed clock",
    "wall clock stepped by an hour",
    "watch event lost",
    "watch event twice",
    "watch event late",
};
inline constexpr std::size_t kFaultKinds = std::size(kFaultNames);
using Bites = std::array<std::uint64_t, kFaultKinds>;

struct Report {
  static constexpr std::size_t kMostKept = 10;

  Bites bites{};
  std::vector<std::string> violations;
  std::uint64_t runs = 0, attempts = 0, slots = 0, commits = 0;
  std::uint64_t trace = kFnv1aStart;  // of all that happened, in its order

  void bite(FaultKind kind) { ++bites[static_cast<std::size_t>(kind)]; }
  void violation(std::string what) {
    if (violations.size() < kMostKept) violations.push_back(std::move(what));
  }
  void note(std::string_view what, std::int64_t number) {
    trace = fnv1a(number, fnv1a(what, trace));
  }
};

}  // namespace tidegate::sim
