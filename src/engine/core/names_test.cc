#include "engine/core/names.h"

#include <arrow/type.h>
#include <gtest/gtest.h>

#include "engine/core/context.h"

namespace tidegate::engine {
namespace {

EntityInfo entity(std::string name, std::vector<std::string> columns) {
  EntityInfo e;
  e.name = std::move(name);
  arrow::FieldVector fields;
  for (auto& c : columns) fields.push_back(arrow::field(std::move(c), arrow::int64()));
  e.schema = arrow::schema(std::move(fields));
  return e;
}

// Symptom: the first run succeeded and every later one failed with "not valid JSON at byte 281".
TEST(Names, WhatAStateCannotHoldIsABadEntityAndTheOthersStay) {
  using std::string_literals::operator""s;
  Catalog catalog;
  catalog.entities = {entity("x\xff", {"a"}), entity("t", {"a", "c\xff"}), entity("u", {"c\0d"s}),
                      entity("größe", {"naïve", "日本"})};
  catalog.others = {"o\xff", "p"};
  refuse_bad_names(catalog);
  ASSERT_EQ(catalog.entities.size(), 1U);
  EXPECT_EQ(catalog.entities[0].name, "größe");
  EXPECT_EQ(catalog.others, (std::vector<std::string>{"o\\xff", "p"}));
  ASSERT_EQ(catalog.bad.size(), 3U);
  EXPECT_EQ(catalog.bad[0].name, "x\\xff");
  EXPECT_EQ(catalog.bad[0].error.message,
            "the name \"x\\xff\" is not valid UTF-8; rename it in the source");
  EXPECT_EQ(
      catalog.bad[1].error.message,
      "entity \"t\": column 2 is named \"c\\xff\", which is not valid UTF-8; rename it in the "
      "source");
  EXPECT_EQ(
      catalog.bad[2].error.message,
      "entity \"u\": column 1 is named \"c\\x00d\", which holds a NUL character; rename it in "
      "the source");
  for (const auto& bad : catalog.bad) EXPECT_EQ(error_kind(bad.error), "data");
}

}  // namespace
}  // namespace tidegate::engine
