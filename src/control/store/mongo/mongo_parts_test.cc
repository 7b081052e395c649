// What needs no server.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "control/store/contract/contract.h"
#include "control/store/mongo/schema.h"
#include "control/store/mongo/server_clock.h"

namespace tidegate::store::contract {
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);  // linked whole for the others
}

namespace tidegate::store::mongo {
namespace {

using contract::code_of;
using contract::ManualClock;
using contract::must;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace std::chrono_literals;

TEST(Bson, ValuesComeBackAsTheyWere) {
  const bj::object o = bj::parse(R"({"text": "ü\u0000x", "n": -9007199254740993, "real": 0.25,
      "yes": true, "none": null, "list": [1, "two", [], {"a": {}}], "deep": {"b": {"c": [false]}}})")
                           .as_object();
  EXPECT_EQ(from_bson(*to_bson(o).get()), o);
  const bj::object dated{{"at", date(from_ms(-5))}};
  EXPECT_EQ(from_bson(*to_bson(dated).get()), (bj::object{{"at", -5}}));
  bson_iter_t at;
  const Bson raw = to_bson(dated);
  ASSERT_TRUE(bson_iter_init_find(&at, raw.get(), "at"));
  EXPECT_TRUE(BSON_ITER_HOLDS_DATE_TIME(&at));
}

TEST(Bson, NamesOfUsersAreNoOperators) {
  const bj::value v =
      bj::parse(R"({"$sealed": "x", "a.b": {"": 1, "%e": 2, "%24": 3, "n\u0000l": 4},
      "big": 18446744073709551615, "%u": "7", "list": [{"$in": []}]})");
  const bj::value kept = shield(v);
  EXPECT_EQ(unshield(kept), v);
  const std::string text = bj::serialize(kept);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\"$")), Not(HasSubstr("a.b")), Not(HasSubstr("\"\":"))));
  EXPECT_EQ(unshield(from_bson(*to_bson(kept.as_object()).get())), v);
}

// A worker whose wall clock stepped by an hour took leases over that were alive.
TEST(ServerClock, GoesOnByBootTimeAndIsAskedOnceASecond) {
  ManualClock clock(from_ms(0));
  int asked = 0;
  ServerClock server([&]() -> Result<Instant> { return from_ms(1'000'000 + 10'000 * asked++); },
                     clock);
  EXPECT_EQ(must(server.now()), from_ms(1'000'000));
  clock.advance(400ms);
  clock.step_wall(1h);
  EXPECT_EQ(must(server.now()), from_ms(1'000'400));
  clock.step_wall(-2h);
  EXPECT_EQ(must(server.now()), from_ms(1'000'400));
  clock.advance(600ms);
  EXPECT_EQ(must(server.now()), from_ms(1'010'000));
  server.forget();
  EXPECT_EQ(must(server.now()), from_ms(1'020'000));
}

// A worker that was frozen while it asked wrote its lease with a time that lay in the past: it
// ended before the worker believed so.
TEST(ServerClock, AnAnswerThatTookLongDoesNotCount) {
  ManualClock clock(from_ms(0));
  std::vector<Millis> takes{3s, 400ms};
  std::size_t asked = 0;
  ServerClock server(
      [&]() -> Result<Instant> {
        const Instant server_time = clock.now();
        clock.advance(takes.at(asked++));
        return server_time;
      },
      clock);
  EXPECT_EQ(must(server.now()), from_ms(3'000));
  EXPECT_EQ(asked, 2u);
  server.forget();
  takes = {3s, 3s, 3s};
  asked = 0;
  EXPECT_EQ(code_of(server.now()), Code::Unavailable);
}

TEST(ServerClock, AnUnknownTimeIsAnError) {
  ManualClock clock(from_ms(0));
  ServerClock server([]() -> Result<Instant> { return fail(Code::Unavailable, "away"); }, clock);
  EXPECT_EQ(code_of(server.now()), Code::Unavailable);
}

TEST(Server, OlderThanFiveIsRefused) {
  const auto old = facts_from({{"maxWireVersion", 9}}, "MongoDB database 'x' on a:1");
  ASSERT_EQ(code_of(old), Code::Invalid);
  EXPECT_THAT(old.error().message, AllOf(HasSubstr("'x' on a:1"), HasSubstr("5.0 or newer")));
}

TEST(Server, KnowsReplicaSetsAndClusters) {
  EXPECT_FALSE(must(facts_from({{"maxWireVersion", 13}}, "")).replicated);
  EXPECT_TRUE(must(facts_from({{"maxWireVersion", 13}, {"setName", "rs"}}, "")).replicated);
  EXPECT_TRUE(must(facts_from({{"maxWireVersion", 13}, {"msg", "isdbgrid"}}, "")).replicated);
}

bj::object privileges(std::string_view list) {
  return bj::parse(R"({"authInfo": {"authenticatedUsers": [{"user": "u"}],
      "authenticatedUserPrivileges": )" +
                   std::string(list) + "}}")
      .as_object();
}

TEST(Privileges, EachMissingOneIsNamed) {
  constexpr std::string_view kRead =
      R"([{"resource": {"db": "tg", "collection": ""}, "actions": ["find", "changeStream"]}])";
  EXPECT_THAT(missing_privileges(privileges(kRead), "tg", true),
              ElementsAre("insert", "update", "remove", "createCollection", "createIndex",
                          "listCollections"));
  EXPECT_THAT(missing_privileges(privileges(kRead), "other", true),
              ElementsAre("find", "insert", "update", "remove", "createCollection", "createIndex",
                          "listCollections", "changeStream"));
  constexpr std::string_view kOneCollection =
      R"([{"resource": {"anyResource": true}, "actions": ["find", "insert", "update", "remove",
           "createIndex", "listCollections", "changeStream"]},
          {"resource": {"db": "tg", "collection": "syncjobs"}, "actions": ["createCollection"]}])";
  EXPECT_THAT(missing_privileges(privileges(kOneCollection), "tg", true),
              ElementsAre("createCollection"));
}

TEST(Privileges, NobodyLoggedInMeansNothingIsAskedFor) {
  EXPECT_THAT(missing_privileges({{"authInfo", bj::object{{"authenticatedUsers", bj::array{}}}}},
                                 "tg", true),
              IsEmpty());
  EXPECT_THAT(missing_privileges({}, "tg", true), IsEmpty());
}

}  // namespace
}  // namespace tidegate::store::mongo
