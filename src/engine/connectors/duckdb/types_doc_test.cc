// The tables of types in docs/guides/duckdb.md are what the code does.

#include <arrow/type.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "engine/connectors/duckdb/types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::duckdb {
namespace {

struct Documented {
  const char* name;
  std::vector<const char*> types;  // all are copied as one
};

const std::vector<Documented>& documented() {
  static const std::vector<Documented> kAll{
      {"BOOLEAN", {"BOOLEAN"}},
      {"TINYINT", {"TINYINT"}},
      {"SMALLINT", {"SMALLINT"}},
      {"INTEGER", {"INTEGER"}},
      {"BIGINT", {"BIGINT"}},
      {"UTINYINT", {"UTINYINT"}},
      {"USMALLINT", {"USMALLINT"}},
      {"UINTEGER", {"UINTEGER"}},
      {"UBIGINT", {"UBIGINT"}},
      {"FLOAT", {"FLOAT"}},
      {"DOUBLE", {"DOUBLE"}},
      {"DECIMAL(12,2)", {"DECIMAL(12,2)"}},
      {"VARCHAR", {"VARCHAR"}},
      {"JSON", {"JSON"}},
      {"BLOB", {"BLOB"}},
      {"DATE", {"DATE"}},
      {"TIME", {"TIME"}},
      {"TIMESTAMP", {"TIMESTAMP"}},
      {"TIMESTAMP_S, TIMESTAMP_MS", {"TIMESTAMP_S", "TIMESTAMP_MS"}},
      {"TIMESTAMP_NS", {"TIMESTAMP_NS"}},
      {"TIMESTAMP WITH TIME ZONE", {"TIMESTAMP WITH TIME ZONE"}},
      {"lists, arrays, STRUCT, MAP, UNION",
       {"INTEGER[]", "INTEGER[3]", "STRUCT(a INTEGER)", "MAP(VARCHAR, INTEGER)",
        "UNION(a INTEGER, b VARCHAR)"}},
      {"HUGEINT, UHUGEINT, UUID, ENUM, INTERVAL, BIT, TIME WITH TIME ZONE, …",
       {"HUGEINT", "UHUGEINT", "UUID", "ENUM('a', 'b')", "INTERVAL", "BIT", "TIME WITH TIME ZONE",
        "TIME_NS", "BIGNUM"}}};
  return kAll;
}

TEST(DuckdbTypes, TheGuideSaysWhatTheCodeDoes) {
  std::string table = "| DuckDB | is copied as |\n|---|---|\n";
  for (const Documented& d : documented()) {
    const std::string words = type_words(*to_field("c", from_declared(d.types.front())));
    for (const char* type : d.types) {
      EXPECT_EQ(type_words(*to_field("c", from_declared(type))), words) << type;
      const ColumnType read = from_declared(type);
      // These come back as what holds them.
      if (read.kind == Kind::Other || read.kind == Kind::Nested || read.kind == Kind::TimestampS ||
          read.kind == Kind::TimestampMs) {
        continue;
      }
      const auto made = target_type(*to_field("c", read));
      ASSERT_TRUE(made);
      EXPECT_EQ(made->declared, type) << "a copy has another type";
    }
    table += "| " + std::string(d.name) + " | " + words + " |\n";
  }
  std::ifstream file(TIDEGATE_SOURCE_DIR "/docs/guides/duckdb.md");
  std::stringstream guide;
  guide << file.rdbuf();
  EXPECT_NE(guide.str().find(table), std::string::npos) << "docs/guides/duckdb.md must have:\n"
                                                        << table;
}

TEST(DuckdbTypes, WideningLosesNothingAndIsRefusedWhereItWould) {
  struct Case {
    const char *existing, *incoming, *wide;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"TINYINT", "BIGINT", "BIGINT"},
                                   {"BIGINT", "TINYINT", "BIGINT"},
                                   {"UTINYINT", "TINYINT", "SMALLINT"},
                                   {"UINTEGER", "TINYINT", "BIGINT"},
                                   {"UBIGINT", "TINYINT", "DECIMAL(20,0)"},
                                   {"BIGINT", "DECIMAL(4,2)", "DECIMAL(21,2)"},
                                   {"DECIMAL(38,0)", "DECIMAL(38,38)", "VARCHAR"},
                                   {"BIGINT", "DOUBLE", "VARCHAR"},
                                   {"INTEGER", "DOUBLE", "DOUBLE"},
                                   {"INTEGER", "FLOAT", "DOUBLE"},
                                   {"DATE", "TIMESTAMP", "TIMESTAMP"},
                                   {"TIMESTAMP", "TIMESTAMP_NS", "VARCHAR"},
                                   {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR"},
                                   {"JSON", "VARCHAR", "VARCHAR"},
                                   {"BLOB", "VARCHAR", ""},
                                   {"VARCHAR", "BLOB", ""},
                                   {"UUID", "INTEGER", ""},
                                   {"INTEGER[]", "JSON", ""}}) {
    const auto wide = widen(from_declared(c.existing), from_declared(c.incoming));
    EXPECT_EQ(wide ? wide->declared : "", c.wide) << c.existing << " and " << c.incoming;
  }
}

}  // namespace
}  // namespace tidegate::engine::duckdb
