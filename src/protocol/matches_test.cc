#include <gtest/gtest.h>

#include "protocol/protocol.h"

namespace tidegate::protocol {
namespace {

TEST(Matches, NamesAndGlobs) {
  struct Case {
    const char* pattern;
    const char* name;
    bool match;
  };
  for (const Case& c : std::initializer_list<Case>{{"orders", "orders", true},
                                                   {"orders", "Orders", false},
                                                   {"ord*", "orders", true},
                                                   {"*", "", true},
                                                   {"*", ".hidden", true},
                                                   {"public.*", "public.a/b", true},
                                                   {"a?c", "a/c", true},
                                                   {"o[a-r]ders", "orders", true},
                                                   {"o[!a-r]ders", "orders", false},
                                                   // A name that looks like a pattern is itself.
                                                   {"a[1]", "a[1]", true},
                                                   {"a[1]", "a1", true},
                                                   {"a[", "a[", true},
                                                   // A backslash is a letter.
                                                   {"back\\*", "back\\slash", true},
                                                   {"\\*", "*", false}}) {
    EXPECT_EQ(matches(c.pattern, c.name), c.match) << c.pattern << " " << c.name;
  }
}

}  // namespace
}  // namespace tidegate::protocol
