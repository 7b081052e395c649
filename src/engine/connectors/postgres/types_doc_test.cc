// The table of types in docs/guides/postgres.md is what the code does.

#include <arrow/type.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/connectors/postgres/types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

struct Documented {
  const char* name;
  std::vector<CatalogType> types;  // all are copied as one
};

// Oids of pg_type.dat; made-up ones for types of users.
const std::vector<Documented>& documented() {
  static const std::vector<Documented> kAll{
      {"boolean", {{.oid = 16, .category = 'B'}}},
      {"smallint", {{.oid = 21, .category = 'N'}}},
      {"integer", {{.oid = 23, .category = 'N'}}},
      {"bigint", {{.oid = 20, .category = 'N'}}},
      {"oid", {{.oid = 26, .category = 'N'}}},
      {"real", {{.oid = 700, .category = 'N'}}},
      {"double precision", {{.oid = 701, .category = 'N'}}},
      {"numeric(12,2)", {{.oid = 1700, .typmod = (12 << 16 | 2) + 4, .category = 'N'}}},
      {"numeric",
       {{.oid = 1700, .category = 'N'},
        {.oid = 1700, .typmod = (50 << 16 | 10) + 4, .category = 'N'},
        {.oid = 1700, .typmod = (3 << 16 | 0x7FE) + 4, .category = 'N'},  // numeric(3,-2)
        {.oid = 1700, .typmod = (2 << 16 | 5) + 4, .category = 'N'}}},
      {"text, varchar, char, name", {{.oid = 25}, {.oid = 1043}, {.oid = 1042}, {.oid = 19}}},
      {"json, jsonb", {{.oid = 114}, {.oid = 3802}}},
      {"bytea", {{.oid = 17}}},
      {"date", {{.oid = 1082}}},
      {"time", {{.oid = 1083}}},
      {"timestamp", {{.oid = 1114}}},
      {"timestamptz", {{.oid = 1184}}},
      {"uuid", {{.oid = 2950}}},
      {"arrays, composite types",
       {{.oid = 1007, .category = 'A'}, {.oid = 99'999, .typtype = 'c', .category = 'C'}}},
      {"enums, ranges, inet, interval, money, …",
       {{.oid = 99'999, .typtype = 'e', .category = 'E'},
        {.oid = 3904, .typtype = 'r', .category = 'R'},
        {.oid = 869, .category = 'I'},
        {.oid = 1186, .category = 'T'},
        {.oid = 790, .category = 'N'},
        {.oid = 1266, .category = 'D'},
        {.oid = 99'999}}}};
  return kAll;
}

TEST(PostgresTypes, TheGuideSaysWhatTheCodeDoes) {
  std::string table = "| PostgreSQL | is copied as |\n|---|---|\n";
  for (const Documented& d : documented()) {
    const std::string words = type_words(*to_field("c", column_type(d.types.front())));
    for (const CatalogType& type : d.types) {
      EXPECT_EQ(type_words(*to_field("c", column_type(type))), words) << d.name << " " << type.oid;
    }
    table += "| " + std::string(d.name) + " | " + words + " |\n";
  }
  std::ifstream file(TIDEGATE_SOURCE_DIR "/docs/guides/postgres.md");
  std::stringstream guide;
  guide << file.rdbuf();
  EXPECT_NE(guide.str().find(table), std::string::npos) << "docs/guides/postgres.md must have:\n"
                                                        << table;
}

}  // namespace
}  // namespace tidegate::engine::postgres
