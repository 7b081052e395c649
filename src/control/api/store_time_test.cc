// Readers see the store's time, whatever the wall clock of their own machine shows.

#include "control/api/store_time.h"

#include <gtest/gtest.h>

#include "control/store/memory/memory_store.h"

namespace tidegate::api {
namespace {

struct Machine final : Clock {
  Instant now() const override { return from_ms(wall); }
  BootInstant boot_now() const override { return BootInstant(Millis(boot)); }
  std::int64_t wall = 0, boot = 0;
};

TEST(StoreTime, AStepOfTheServersClockIsNotSeen) {
  Machine stores{}, mine{};
  stores.wall = 1'000'000;
  const auto store = store::make_memory_store(stores);
  StoreTime time(*store, mine);
  EXPECT_EQ(time.now(), from_ms(1'000'000));
  mine.wall += 3'600'000;
  mine.boot += 400;
  EXPECT_EQ(time.now(), from_ms(1'000'400));
  stores.wall += 5'000;
  mine.boot += 600;
  EXPECT_EQ(time.now(), from_ms(1'005'000));  // asked again
}

}  // namespace
}  // namespace tidegate::api
