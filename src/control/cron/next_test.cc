#include "control/cron/cron.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace tidegate::cron {
namespace {

struct Case {
  std::string cron, zone, dst, after,
      expected;  // expected: local times, blank separated; - is none
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE("'" + c.cron + "' in " + c.zone + " (" + c.dst + ") after " + c.after);
    const auto expression = Expression::parse(c.cron, 0);
    const auto zone = TimeZone::load(c.zone);
    const auto after = parse_rfc3339(c.after);
    ASSERT_TRUE(expression) << describe(expression.error());
    ASSERT_TRUE(zone) << describe(zone.error());
    ASSERT_TRUE(after) << describe(after.error());
    DstPolicy dst = DstPolicy::Auto;
    if (c.dst == "once") dst = DstPolicy::Once;
    if (c.dst == "wall") dst = DstPolicy::Wall;
    std::istringstream words(c.expected);
    std::optional<Instant> t = *after;
    for (std::string word; words >> word;) {
      t = expression->next(*t, *zone, dst);
      ASSERT_EQ(t ? format_local(*t, *zone) : "-", word);
    }
  }
}

TEST(NextTime, Daily0230IsSkippedOnTheGapDayOrRunsTwiceOnTheFoldDay) {
  // Symptom: a daily 02:30 job is skipped on the day of a spring gap, and runs twice on a fold day.
  check({
      {"30 2 * * *", "America/New_York", "auto", "2026-03-07T00:00:00-05:00",
       "2026-03-07T02:30:00-05:00 2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
      {"30 1 * * *", "America/New_York", "auto", "2026-10-31T12:00:00-04:00",
       "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
      {"30 2 * * *", "America/New_York", "wall", "2026-03-07T00:00:00-05:00",
       "2026-03-07T02:30:00-05:00 2026-03-09T02:30:00-04:00"},
      {"30 1 * * *", "America/New_York", "wall", "2026-10-31T12:00:00-04:00",
       "2026-11-01T01:30:00-04:00 2026-11-01T01:30:00-05:00 2026-11-02T01:30:00-05:00"},
  });
}

}  // namespace
}  // namespace tidegate::cron
