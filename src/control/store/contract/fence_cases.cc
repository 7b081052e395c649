// Fences that come from elsewhere than the store's clock.
#include <limits>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;

// After a restore of an older store, with the clock behind an earlier wrong one, every attempt was
// refused by its destination, and the retries with it.
TEST_P(StoreContract, TheFenceThatADestinationHoldsIsPassedByTheNextAttempt) {
  trigger(add(job("j1")), "r1");
  const auto refused = claim("w1").at(0);
  const Fence found{value(refused.run.fence) + 1'000'000};
  AttemptEnd end = end_of(refused, RunState::Queued);
  end.fence_found = found;
  must(must(store().finish_attempts({&end, 1})).at(0));
  auto next = claim("w1").at(0);
  EXPECT_EQ(value(next.run.fence), value(found) + 1);
  // The last one of a run counts, too, and nonsense does not.
  end = end_of(next, RunState::Failed);
  end.fence_found = Fence{value(found) + 50};
  must(must(store().finish_attempts({&end, 1})).at(0));
  trigger(JobId("j1"), "r2");
  next = claim("w1").at(0);
  EXPECT_EQ(value(next.run.fence), value(found) + 51);
  end = end_of(next, RunState::Failed);
  end.fence_found = Fence{std::numeric_limits<std::int64_t>::max()};
  must(must(store().finish_attempts({&end, 1})).at(0));
  trigger(JobId("j1"), "r3");
  EXPECT_EQ(value(claim("w1").at(0).run.fence), value(found) + 52);
}

}  // namespace tidegate::store::contract
