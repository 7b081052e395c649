#pragma once
// The three DST policies by enumeration: every minute (or second) of a window is converted to local
// time, and the definitions of docs/guides/cron.md are applied word by word.

#include <cctz/time_zone.h>

#include <cstdint>
#include <vector>

#include "control/cron/oracle/naive.h"

namespace tidegate::cron::oracle {

// UTC instants [first, last) in seconds, in steps of `unit` seconds, with `margin` seconds of
// context on either side for local times that a change moves into the window.
class Window {
 public:
  Window(const cctz::time_zone& zone, std::int64_t first, std::int64_t last, int unit, int margin);

  struct Times {
    std::vector<std::int64_t> wall, once;
  };
  Times times(const NaiveCron& cron) const;
  std::int64_t first() const { return first_; }
  std::int64_t last() const { return last_; }

 private:
  // Of each nominal local time of the window, in units from its lowest one.
  std::vector<char> matches(const NaiveCron& cron) const;

  std::int64_t first_, last_, begin_;
  int unit_;
  std::int64_t lowest_ = 0;          // local seconds of index 0
  std::vector<std::int32_t> local_;  // of each instant from begin_
  std::vector<std::int32_t> fires_;  // of each nominal local time: the index of its instant
};

}  // namespace tidegate::cron::oracle
