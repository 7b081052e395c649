#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>

#include "engine/connectors/file/file_connector.h"

namespace tidegate::engine {
namespace {

TEST(FileSource, ACsvFileIsAnEntityWithTypesInTheFilesOrder) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "tidegate_file_source";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "b.csv") << "z,a,when\n1,x,2026-01-01\n2,,2026-01-02\n";
  SystemClock clock;
  SystemRng rng;
  PathPolicy paths({folder.string()}, {});
  const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  auto source = file_connector().make_source(
      boost::json::parse(R"({"path": "*.csv"})").as_object(), context);
  ASSERT_TRUE(source);
  const auto catalog = (*source)->discover();
  ASSERT_TRUE(catalog);
  ASSERT_EQ(catalog->entities.size(), 1U);
  EXPECT_EQ(catalog->entities[0].name, "b");
  EXPECT_EQ(catalog->entities[0].schema->ToString(), "z: int64\na: string\nwhen: date32[day]");
  EXPECT_EQ(catalog->entities[0].rows, 2);
}

}  // namespace
}  // namespace tidegate::engine
