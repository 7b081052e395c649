#include "tests/sim/destination.h"

#include <fmt/format.h>

namespace tidegate::sim {

bool Destination::claim(const std::string& name, const RunId& run, Fence fence) {
  Lane& lane = lanes_[name];
  if (lane.fence > fence) return false;
  if (lane.fence == fence) {
    report_.violation(fmt::format("fence {} of {} was claimed by run {} and by run {}",
                                  value(fence), name, lane.claimed_by.str(), run.str()));
  }
  lane.fence = fence;
  lane.claimed_by = run;
  return true;
}

bool Destination::commit(const std::string& name, const RunId& run, Fence fence,
                         const Commit& commit) {
  Lane& lane = lanes_[name];
  if (lane.fence != fence) return false;
  if (commit.replaces) {
    if (commit.to < lane.loaded) {
      report_.violation(
          fmt::format("{}: run {} replaced newer rows by older ones", name, run.str()));
    }
    lane.loaded = commit.to;
  } else {
    const std::int64_t there = commit.epoch > lane.epoch ? 0 : lane.rows;
    if (commit.from != there) {
      report_.violation(
          fmt::format("{}: run {} added rows from {} on, and {} were there: rows were "
                      "lost or doubled",
                      name, run.str(), commit.from + 1, there));
    }
    lane.rows = commit.to;
  }
  lane.epoch = commit.epoch;
  lane.sequence += 1;
  report_.commits += 1;
  if (commit.completes) completed_.emplace(run, fence);
  return true;
}

}  // namespace tidegate::sim
