#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {
TEST_F(FileSourceTest, DestinationRefusesOtherFormats) {
  const auto got = file_connector().make_destination(
      boost::json::parse(R"({"path": "out", "format": "parquet"})").as_object(), context_);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().details[0].field, "format");
}
}  // namespace
}  // namespace tidegate::engine::file
