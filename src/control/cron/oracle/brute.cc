#include "control/cron/oracle/brute.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

namespace tidegate::cron::oracle {
namespace {

constexpr int kDay = 86'400;

std::int64_t local_seconds(const cctz::time_zone& zone, std::int64_t t) {
  return t + zone.lookup(cctz::time_point<cctz::seconds>(cctz::seconds(t))).offset;
}

std::int64_t floor_to(std::int64_t t, std::int64_t unit) { return t - ((t % unit) + unit) % unit; }

}  // namespace

Window::Window(const cctz::time_zone& zone, std::int64_t first, std::int64_t last, int unit,
               int margin)
    : first_(floor_to(first, unit)),
      last_(floor_to(last, unit)),
      begin_(floor_to(first - margin, unit)),
      unit_(unit) {
  std::vector<std::int64_t> local;
  for (std::int64_t t = begin_; t < last_ + margin; t += unit) {
    local.push_back(local_seconds(zone, t));
    if (local.back() % unit != 0) {
      std::cerr << "offset of " << zone.name() << " is no multiple of " << unit << " s\n";
      std::exit(2);
    }
  }
  lowest_ = *std::ranges::min_element(local);
  const std::int64_t highest = *std::ranges::max_element(local);
  fires_.assign(static_cast<std::size_t>((highest - lowest_) / unit + 1), -1);
  for (const std::int64_t l : local) {
    const auto nominal = static_cast<std::int32_t>((l - lowest_) / unit);
    // A repeated time fires at its first instant, which comes first here.
    if (fires_[static_cast<std::size_t>(nominal)] < 0) {
      fires_[static_cast<std::size_t>(nominal)] = static_cast<std::int32_t>(local_.size());
    }
    local_.push_back(nominal);
  }
  // A skipped one fires at the first instant after the gap: the first whose local time is later.
  std::size_t after = 0;
  for (std::size_t nominal = 0; nominal < fires_.size(); ++nominal) {
    if (fires_[nominal] >= 0) continue;
    while (local_[after] <= static_cast<std::int32_t>(nominal)) ++after;
    fires_[nominal] = static_cast<std::int32_t>(after);
  }
}

std::vector<char> Window::matches(const NaiveCron& cron) const {
  std::vector<char> out(fires_.size());
  for (std::size_t i = 0; i < out.size();) {
    const std::int64_t local = lowest_ + static_cast<std::int64_t>(i) * unit_;
    const std::int64_t day = floor_to(local, kDay) / kDay;
    const bool day_matches = cron.matches_day(day);
    for (auto s = static_cast<int>(local - day * kDay); s < kDay && i < out.size();
         s += unit_, ++i) {
      out[i] = day_matches && cron.matches_time(s);
    }
  }
  return out;
}

Window::Times Window::times(const NaiveCron& cron) const {
  const std::vector<char> match = matches(cron);
  Times out;
  const auto add = [&](std::vector<std::int64_t>& to, std::size_t index) {
    const std::int64_t t = begin_ + static_cast<std::int64_t>(index) * unit_;
    if (t >= first_ && t < last_) to.push_back(t);
  };
  for (std::size_t i = 0; i < local_.size(); ++i) {
    if (match[static_cast<std::size_t>(local_[i])]) add(out.wall, i);
  }
  for (std::size_t nominal = 0; nominal < match.size(); ++nominal) {
    if (match[nominal]) add(out.once, static_cast<std::size_t>(fires_[nominal]));
  }
  std::ranges::sort(out.once);
  const auto merged = std::ranges::unique(out.once);  // equal instants merge
  out.once.erase(merged.begin(), merged.end());
  return out;
}

}  // namespace tidegate::cron::oracle
