#pragma once
// The watermark adversary: 200 incremental runs from a table whose writers do the worst that the
// job's settings promise, then quiet, and the destination equals the source.

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "engine/contract/fixture.h"
#include "engine/contract/writers.h"

namespace tidegate::engine::contract {

struct WatermarkCase {
  std::string name;
  Promise promise;
  bool ordered = false;  // read in the cursor's order, and committed in parts
  bool live = false;     // others commit while it is read
  bool refines = false;  // from milliseconds to microseconds, half way
};
std::ostream& operator<<(std::ostream& out, const WatermarkCase& c);

const std::vector<WatermarkCase>& watermark_cases();

class WatermarkContract
    : public testing::TestWithParam<std::tuple<DestinationUnderTest, WatermarkCase>> {};
// What the documents say that is not covered.
class WatermarkLimits : public testing::TestWithParam<DestinationUnderTest> {};

}  // namespace tidegate::engine::contract

// In a connector's test: some 4,000 runs, so not each destination does it.
#define TIDEGATE_WATERMARK_CONTRACT(prefix, value)                                    \
  INSTANTIATE_TEST_SUITE_P(                                                           \
      prefix, WatermarkContract,                                                      \
      testing::Combine(testing::Values(value), testing::ValuesIn(watermark_cases())), \
      [](const auto& test) { return std::get<1>(test.param).name; });                 \
  INSTANTIATE_TEST_SUITE_P(prefix, WatermarkLimits, testing::Values(value))
