#include <gtest/gtest.h>

#include <array>
#include <latch>
#include <thread>
#include <vector>

#include "control/cron/cron.h"

namespace tidegate::cron {
namespace {

TEST(ZoneThreads, LoadAndSearchFromManyThreads) {
  constexpr std::array kZones = {"UTC",           "Europe/Paris", "Asia/Tokyo", "America/New_York",
                                 "Europe/Dublin", "Asia/Kolkata", "Nowhere/At", "Pacific/Apia"};
  const Expression daily = Expression::parse("30 2 * * *", 0).value();
  const Instant start = parse_rfc3339("2026-03-01T00:00:00Z").value();
  std::array<std::array<std::int64_t, kZones.size()>, 8> seen{};
  std::latch together(8);
  std::vector<std::jthread> threads;
  for (std::size_t n = 0; n < seen.size(); ++n) {
    threads.emplace_back([&, n] {
      together.arrive_and_wait();
      for (std::size_t i = 0; i < kZones.size(); ++i) {
        const std::size_t z = (i + n) % kZones.size();
        if (const auto zone = TimeZone::load(kZones[z])) {
          seen[n][z] = to_ms(daily.next(start, *zone, DstPolicy::Auto).value());
        }
      }
    });
  }
  threads.clear();
  for (const auto& one : seen) EXPECT_EQ(one, seen[0]);
  EXPECT_EQ(seen[0][6], 0);
  EXPECT_NE(seen[0][7], 0);
}

}  // namespace
}  // namespace tidegate::cron
