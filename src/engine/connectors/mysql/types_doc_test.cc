// The table of types in docs/guides/mysql.md is what the code does.

#include <arrow/type.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/connectors/mysql/types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

struct Documented {
  const char* name;
  std::vector<CatalogType> types;  // all are copied as one
};

const std::vector<Documented>& documented() {
  static const std::vector<Documented> kAll{
      {"tinyint, boolean",
       {{.data_type = "tinyint", .column_type = "tinyint(4)"},
        {.data_type = "tinyint", .column_type = "tinyint(1)"}}},
      {"tinyint unsigned", {{.data_type = "tinyint", .column_type = "tinyint(3) unsigned"}}},
      {"smallint, year",
       {{.data_type = "smallint", .column_type = "smallint"},
        {.data_type = "year", .column_type = "year(4)"}}},
      {"smallint unsigned", {{.data_type = "smallint", .column_type = "smallint(5) unsigned"}}},
      {"mediumint, int",
       {{.data_type = "mediumint", .column_type = "mediumint(9)"},
        {.data_type = "int", .column_type = "int(11)"}}},
      {"mediumint unsigned, int unsigned",
       {{.data_type = "mediumint", .column_type = "mediumint(8) unsigned"},
        {.data_type = "int", .column_type = "int unsigned zerofill"}}},
      {"bigint", {{.data_type = "bigint", .column_type = "bigint(20)"}}},
      {"bigint unsigned, bit(n)",
       {{.data_type = "bigint", .column_type = "bigint(20) unsigned"},
        {.data_type = "bit", .column_type = "bit(2)"},
        {.data_type = "bit", .column_type = "bit(64)"}}},
      {"bit(1)", {{.data_type = "bit", .column_type = "bit(1)"}}},
      {"float", {{.data_type = "float", .column_type = "float"}}},
      {"double", {{.data_type = "double", .column_type = "double"}}},
      {"decimal(12,2)",
       {{.data_type = "decimal", .column_type = "decimal(12,2)", .precision = 12, .scale = 2}}},
      {"decimal(65,30)",
       {{.data_type = "decimal", .column_type = "decimal(65,30)", .precision = 65, .scale = 30}}},
      {"char, varchar, text, enum, set, uuid, inet6",
       {{.data_type = "varchar", .column_type = "varchar(10)", .has_charset = true},
        {.data_type = "longtext", .column_type = "longtext", .has_charset = true},
        {.data_type = "enum", .column_type = "enum('a','b')", .has_charset = true},
        {.data_type = "set", .column_type = "set('a','b')", .has_charset = true},
        {.data_type = "uuid", .column_type = "uuid"},
        {.data_type = "inet6", .column_type = "inet6"}}},
      {"json",
       {{.data_type = "json", .column_type = "json"},
        {.data_type = "longtext",
         .column_type = "longtext",
         .has_charset = true,
         .is_json = true}}},
      {"binary, varbinary, blob, geometry",
       {{.data_type = "varbinary", .column_type = "varbinary(10)"},
        {.data_type = "longblob", .column_type = "longblob"},
        {.data_type = "point", .column_type = "point"}}},
      {"date", {{.data_type = "date", .column_type = "date"}}},
      {"time", {{.data_type = "time", .column_type = "time(6)"}}},
      {"datetime", {{.data_type = "datetime", .column_type = "datetime"}}},
      {"timestamp", {{.data_type = "timestamp", .column_type = "timestamp(3)"}}}};
  return kAll;
}

TEST(MysqlTypes, TheGuideSaysWhatTheCodeDoes) {
  std::string table = "| MySQL | is copied as |\n|---|---|\n";
  for (const Documented& d : documented()) {
    const std::string words = type_words(*to_field("c", column_type(d.types.front())));
    for (const CatalogType& type : d.types) {
      EXPECT_EQ(type_words(*to_field("c", column_type(type))), words)
          << d.name << " " << type.column_type;
    }
    table += "| " + std::string(d.name) + " | " + words + " |\n";
  }
  std::ifstream file(TIDEGATE_SOURCE_DIR "/docs/guides/mysql.md");
  std::stringstream guide;
  guide << file.rdbuf();
  EXPECT_NE(guide.str().find(table), std::string::npos) << "docs/guides/mysql.md must have:\n"
                                                        << table;
}

}  // namespace
}  // namespace tidegate::engine::mysql
