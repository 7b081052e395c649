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

}  // namespace
}  // namespace tidegate::engine::file
