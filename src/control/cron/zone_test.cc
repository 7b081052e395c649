#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/cron/time_zone.h"

namespace tidegate::cron {
namespace {

using testing::HasSubstr;

TEST(Zone, LoadsNamesOfTheDatabase) {
  for (const char* zone_name :
       {"UTC", "America/New_York", "Etc/GMT+5", "America/Argentina/Buenos_Aires",
        "America/Port-au-Prince", "EST5EDT", "GB", "Asia/Calcutta"}) {
    const auto zone = TimeZone::load(zone_name);
    ASSERT_TRUE(zone) << describe(zone.error());
    EXPECT_EQ(zone->name(), zone_name);
  }
}

TEST(Zone, RefusesWhatIsNoNameAndSuggestsTheNearest) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "empty; write a name such as America/New_York or UTC"},
      {"america/new_york", "did you mean America/New_York?"},
      {"Europe/Pariss", "did you mean Europe/Paris?"},
      {"New_York", "did you mean America/New_York?"},
      {"new york", "did you mean America/New_York?"},
      {"Tokyo", "did you mean Asia/Tokyo?"},
      {"utc", "did you mean"},
      {"Mars/Olympus_Mons", "is not in the IANA database; write a name such as"},
      // No guess from three letters: EST is near PST, and wrong.
      {"PST", "'PST' is not in the IANA database; write a name"},
      {"Europe", "is not in the IANA database"},
      {"localtime", "is not in the IANA database"},
      {"posixrules", "is not in the IANA database"},
      {"right/UTC", "is not in the IANA database"},
      {"posix/Europe/Paris", "is not in the IANA database"},
      {"zone.tab", "is no time zone name"},
      {"../../etc/passwd", "is no time zone name"},
      {"/usr/share/zoneinfo/UTC", "is no time zone name"},
      {"America/../UTC", "is no time zone name"},
      {"America//New_York", "is no time zone name"},
      {"America/", "is no time zone name"},
      {"file:/etc/localtime", "is no time zone name"},
      {"libc:localtime", "is no time zone name"},
      {"EST5EDT,M3.2.0,M11.1.0", "is no time zone name"},
      {std::string("UTC\0x", 5), "is no time zone name"},
      {std::string(65, 'A'), "is no time zone name"},
  };
  for (const auto& [text, message] : cases) {
    const auto zone = TimeZone::load(text);
    ASSERT_FALSE(zone) << text;
    EXPECT_EQ(zone.error().code, Code::Invalid);
    ASSERT_EQ(zone.error().details.size(), 1U);
    EXPECT_EQ(zone.error().details[0].field, "timezone");
    EXPECT_THAT(zone.error().details[0].message, HasSubstr(message)) << text;
  }
}

TEST(Zone, IsSharedBetweenLoads) {
  const auto a = TimeZone::load("Europe/Paris").value();
  const auto b = TimeZone::load("Europe/Paris").value();
  EXPECT_EQ(&a.table(), &b.table());
}

TEST(Zone, KnowsWhetherItsClockChanges) {
  EXPECT_FALSE(TimeZone::utc().has_transitions());
  EXPECT_FALSE(TimeZone::load("Etc/GMT+5").value().has_transitions());
  EXPECT_TRUE(TimeZone::load("Europe/Paris").value().has_transitions());
}

TEST(FormatLocal, WritesTheZonesOffset) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"2026-11-01T05:30:00Z", "America/New_York", "2026-11-01T01:30:00-04:00"},
      {"2026-11-01T06:30:00Z", "America/New_York", "2026-11-01T01:30:00-05:00"},
      {"2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:00:00+00:00"},
      {"2026-01-01T00:00:00.250Z", "Asia/Kathmandu", "2026-01-01T05:45:00.250+05:45"},
      {"2026-01-01T00:00:00Z", "America/St_Johns", "2025-12-31T20:30:00-03:30"},
      {"2200-07-01T00:00:00Z", "Europe/Berlin", "2200-07-01T02:00:00+02:00"},
      // Monrovia was 44 minutes and 30 seconds behind: the offset is cut, the instant is kept.
      {"1971-06-01T00:00:00Z", "Africa/Monrovia", "1971-05-31T23:16:00-00:44"},
  };
  for (const auto& [utc, zone_name, expected] : cases) {
    const Instant t = parse_rfc3339(utc).value();
    const std::string text = format_local(t, TimeZone::load(zone_name).value());
    EXPECT_EQ(text, expected);
    EXPECT_EQ(parse_rfc3339(text).value(), t);
  }
}

}  // namespace
}  // namespace tidegate::cron
