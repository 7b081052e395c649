#include "engine/core/guarded.h"

#include <gtest/gtest.h>

#include <new>
#include <thread>

namespace tidegate::engine {
namespace {

// Seen here: memory that ran out in the second thread that looks at a long CSV file ended the
// process, and with it every other entity of the run.
TEST(Guarded, AnExceptionInAThreadIsAnError) {
  Status status;
  std::jthread([&] { status = guarded([]() -> Status { throw std::bad_alloc(); }); }).join();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Internal);
  EXPECT_NE(status.error().message.find("bad_alloc"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::engine
