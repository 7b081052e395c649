#pragma once
// Private to the module: a zone's whole history and future as one flat table, so that a search
// needs no call into cctz. About 20 KB a zone.

#include <cstdint>
#include <string>
#include <vector>

namespace tidegate::cron {

// One span of constant offset: UTC seconds [start, next span's start).
struct ZoneSpan {
  std::int64_t start;
  // Local times below this one existed before this span or were skipped over before it: the
  // greatest local end of all earlier spans. In [seen_until, start + offset) they lie in the gap
  // before it.
  std::int64_t seen_until;
  std::int32_t offset;
};

struct ZoneTable {
  std::string name;
  // Ordered; the first begins at the smallest number; the last is a sentinel at the largest.
  std::vector<ZoneSpan> spans;
  // Where to begin looking for second t ≥ 0: spans index at (t >> kBucketBits) << kBucketBits.
  std::vector<std::uint16_t> buckets;
  static constexpr int kBucketBits = 22;  // 48 days: at most one or two spans begin in a bucket

  // Index of the span that holds `second`, never the sentinel.
  std::size_t find(std::int64_t second) const {
    if (second < 0) return find_slowly(second);
    const auto bucket = static_cast<std::size_t>(second >> kBucketBits);
    std::size_t i = bucket < buckets.size() ? buckets[bucket] : buckets.back();
    while (spans[i + 1].start <= second) ++i;
    return i;
  }
  std::size_t find_slowly(std::int64_t second) const;
  // First local second that is past span i.
  std::int64_t local_end(std::size_t i) const {
    // The sentinel's start is too large to add to.
    const std::int64_t end = spans[i + 1].start;
    return end == INT64_MAX ? end : end + spans[i].offset;
  }
};

}  // namespace tidegate::cron
