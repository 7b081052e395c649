#pragma once
// A destination as docs/protocol.md ("Commit") describes it, and children that follow that
// protocol: the fence is claimed, then compared in each commit.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/ids.h"
#include "tests/sim/report.h"

namespace tidegate::sim {

// The rows of one job (or, of a job whose runs may overlap, of one run).
struct Lane {
  Fence fence{};
  RunId claimed_by;
  std::int64_t epoch = 0, sequence = 0;
  std::int64_t rows = 0;    // 1 … rows are there, each once
  std::int64_t loaded = 0;  // which state of the source a full load brought
};

class Destination {
 public:
  explicit Destination(Report& report) : report_(report) {}

  // False: a greater fence is there.
  bool claim(const std::string& lane, const RunId& run, Fence fence);
  const Lane& lane(const std::string& name) { return lanes_[name]; }

  struct Commit {
    bool replaces = false;          // all rows, by those of the source's state `to`
    std::int64_t from = 0, to = 0;  // else: rows from + 1 … to are added
    std::int64_t epoch = 0;
    bool completes = false;  // the last one of its run
  };
  // False: fenced, nothing was written.
  bool commit(const std::string& lane, const RunId& run, Fence fence, const Commit& commit);
  // Whether an attempt made the last commit of its run.
  bool completed(const RunId& run, Fence fence) const { return completed_.contains({run, fence}); }

 private:
  Report& report_;
  std::map<std::string, Lane> lanes_;
  std::set<std::pair<RunId, Fence>> completed_;
};

}  // namespace tidegate::sim
