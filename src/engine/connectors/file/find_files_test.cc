// Which files a source means, and what is said of those that it cannot mean.

#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {

using Texts = std::vector<std::string>;

class FindFilesTest : public FileSourceTest {
 protected:
  Texts entities(const std::string& config) {
    const auto found = (*source(config))->discover({});
    if (!found) return {found.error().message};
    Texts names;
    for (const auto& e : found->entities) names.push_back(e.name);
    for (const auto& e : found->bad) names.push_back("bad " + e.name);
    return names;
  }
};

// Symptom: a file named `*.csv` was copied and every other file left out without a word.
TEST_F(FindFilesTest, AFileWithTheNameOfThePatternHidesNoOther) {
  write("st/a.csv", "id\n1\n");
  write("st/*.csv", "id\n2\n");
  EXPECT_EQ(entities(R"({"path": "st/*.csv"})"), (Texts{"*", "a"}));
  EXPECT_EQ(read(R"({"path": "st/*.csv"})", "*").rows, (Texts{"2"}));
  write("odd[1].csv", "id\n3\n");
  EXPECT_EQ(entities(R"({"path": "odd[1].csv"})"), (Texts{"odd[1]"}));
  write("odd1.csv", "id\n4\n");
  EXPECT_EQ(entities(R"({"path": "odd[1].csv"})"), (Texts{"odd1", "odd[1]"}));
  write("d[1]/in.csv", "id\n5\n");
  for (const char* path : {"d[1]", "d[1]/", "d[1]/*.csv", "d[1]/in.csv"}) {
    EXPECT_EQ(entities(fmt::format(R"({{"path": "{}"}})", path)), (Texts{"in"})) << path;
  }
  std::filesystem::create_directory(folder_ + "/d1");
  EXPECT_EQ(entities(R"({"path": "d[1]/in.csv"})"), (Texts{"in"}));
  write("*.tsv/in.csv", "id\n6\n");
  write("b.tsv", "id\n7\n");
  EXPECT_EQ(entities(R"({"path": "*.tsv"})"), (Texts{"b", "in"}));
}

// Symptom: check said "works", and the entities just did not exist.
TEST_F(FindFilesTest, APatternOfEntitiesThatFindsNoFileIsAnError) {
  write("airlines.csv", "id\n1\n");
  write("admin-token.csv", "id\n1\n");
  const std::string config =
      R"({"path": "*.csv", "entities": {"x": "../admin-token*", "y": "zzz*", "a": "air*", "b": "airl*"}})";
  EXPECT_EQ(entities(config), (Texts{"a", "admin-token", "bad b", "bad x", "bad y"}));
  for (const auto& [entity, says] : {std::pair{"x", "file names without their folder"},
                                     {"y", "none of the 2 file(s)"},
                                     {"b", "\"a\", which comes before it"}}) {
    const Read got = read(config, entity);
    ASSERT_TRUE(got.error) << entity;
    EXPECT_EQ(got.error->reason, "no_file");
    EXPECT_NE(got.error->message.find(says), std::string::npos) << got.error->message;
    EXPECT_EQ(got.error->details.at(0).field, fmt::format("entities[\"{}\"]", entity));
  }
  const auto checked = (*source(config))->check();
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("finds no file"), std::string::npos);
  EXPECT_EQ(read(config, "a").rows, (Texts{"1"}));
}

}  // namespace
}  // namespace tidegate::engine::file
