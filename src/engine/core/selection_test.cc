#include "engine/core/selection.h"

#include <gtest/gtest.h>

namespace tidegate::engine {
namespace {

using protocol::RunSpec;

TEST(SelectEntities, EveryNameAndGlobIsHonoured) {
  Catalog catalog;
  for (const char* name : {"airlines", "airports", "planes", "weather"}) {
    EntityInfo e;
    e.name = name;
    catalog.entities.push_back(std::move(e));
  }
  RunSpec s;
  const auto names = [&] {
    std::string out;
    for (const auto& x : select_entities(catalog, s))
      out += x.name + (x.info != nullptr ? " " : "! ");
    return out;
  };
  EXPECT_EQ(names(), "airlines airports planes weather ");
  s.entity_filter = {"weather", "air*"};
  EXPECT_EQ(names(), "airlines airports weather ");
  s.entity_filter = {"weather", "trains", "p?anes"};
  EXPECT_EQ(names(), "planes weather trains! ");
  const auto selected = select_entities(catalog, s);
  EXPECT_NE(selected.back().error->message.find("\"airports\""), std::string::npos);
  // What is not wanted is not looked into, and is still named.
  EXPECT_TRUE(wanted_by(s)("weather") && wanted_by(s)("planes") && !wanted_by(s)("airports"));
  catalog.others = {"pilots"};
  EXPECT_NE(select_entities(catalog, s).back().error->message.find("\"pilots\""),
            std::string::npos);
  s.only_entities = {"weather"};
  EXPECT_EQ(names(), "weather ");
}

// Seen here: a run of the entities "a" and "typo" copied "a" and succeeded; so did the retry of a
// run whose failed entities were gone.
TEST(SelectEntities, EveryNameThatWasAskedForGetsAnOutcome) {
  Catalog catalog;
  for (const char* name : {"airlines", "planes"}) {
    EntityInfo e;
    e.name = name;
    catalog.entities.push_back(std::move(e));
  }
  catalog.bad.push_back({"broken", Error{Code::Invalid, "cannot be read", {}, {}}});
  catalog.others = {"weather"};
  RunSpec s;
  const auto outcomes = [&] {
    std::string out;
    for (const auto& x : select_entities(catalog, s))
      out += x.name + (x.info != nullptr ? " " : x.error ? "! " : "? ");
    return out;
  };
  s.only_entities = {"planes", "plane", "broken", "plane"};
  EXPECT_EQ(outcomes(), "planes broken! plane! ");
  auto last = select_entities(catalog, s).back();
  EXPECT_EQ(last.error->reason, "unknown_entity");
  EXPECT_NE(last.error->message.find("did you mean \"planes\""), std::string::npos)
      << last.error->message;
  s.only_entities = {"plane"};
  EXPECT_EQ(outcomes(), "plane! ");
  // It is there, and the job does not copy it.
  s.entity_filter = {"plan*", "trains*"};
  s.only_entities = {"planes", "weather"};
  EXPECT_EQ(outcomes(), "planes weather! ");
  last = select_entities(catalog, s).back();
  EXPECT_NE(last.error->message.find("entityFilter chooses \"plan*\" and \"trains*\""),
            std::string::npos)
      << last.error->message;
  // A pattern that failed because nothing matched it is tried again.
  s.only_entities = {"trains*"};
  EXPECT_EQ(outcomes(), "trains*! ");
  s.entity_filter = {"plan*", "air*"};
  s.only_entities = {"air*"};
  EXPECT_TRUE(wanted_by(s)("airlines") && !wanted_by(s)("planes"));
  EXPECT_EQ(outcomes(), "airlines air*? ");
}

// Seen here: options for "order" (of "orders"), among them a `where`; all rows were copied.
TEST(SelectEntities, OptionsThatApplyToNothingAreRefused) {
  Catalog catalog;
  catalog.entities.emplace_back().name = "orders";
  catalog.others = {"customers"};
  RunSpec s;
  s.entity_filter = {"orders"};
  s.entities["customers"].where = "id < 10";
  s.entities["o*"].where = "id < 10";
  EXPECT_EQ(select_entities(catalog, s).size(), 1u) << "known, though not chosen";
  s.entities["order"].where = "id < 10";
  const auto selected = select_entities(catalog, s);
  ASSERT_EQ(selected.size(), 2u);
  ASSERT_TRUE(selected.back().error);
  EXPECT_EQ(selected.back().error->reason, "unknown_entity");
  EXPECT_NE(selected.back().error->message.find("did you mean \"orders\"?"), std::string::npos);
  s.only_entities = {"orders"};
  EXPECT_EQ(select_entities(catalog, s).size(), 1u) << "of another run";
}

TEST(SelectEntities, NamesThatWouldShareATableAreBothRefused) {
  Catalog catalog;
  for (const char* name : {"Users", "users", "other"}) {
    EntityInfo e;
    e.name = name;
    catalog.entities.push_back(std::move(e));
  }
  int refused = 0;
  for (const auto& s : select_entities(catalog, {})) refused += s.error ? 1 : 0;
  EXPECT_EQ(refused, 2);
}

}  // namespace
}  // namespace tidegate::engine
