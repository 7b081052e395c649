// What is PostgreSQL's own: types, names, partitions, privileges, snapshots.

#include "engine/connectors/postgres/source.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/rng.h"
#include "engine/connectors/postgres/postgres.h"
#include "engine/connectors/postgres/server_fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Texts = std::vector<std::string>;

class PostgresSourceTest : public ::testing::Test {
 protected:
  PostgresSourceTest()
      : name_(database_of(testing::UnitTest::GetInstance()->current_test_info()->name())),
        db_(console(name_)) {}

  void sql(const std::string& text) { run(*db_, text); }
  std::unique_ptr<Source> source(const boost::json::object& more = {}) {
    boost::json::object config = config_of(name_);
    for (const auto& [key, value] : more) config[key] = value;
    auto made = postgres_connector().make_source(config, context_);
    if (!made) throw std::runtime_error(describe(made.error()));
    return std::move(*made);
  }
  static const EntityInfo& entity(const Catalog& catalog, const std::string& name) {
    const auto at = std::ranges::find(catalog.entities, name, &EntityInfo::name);
    if (at == catalog.entities.end()) throw std::runtime_error("not found: " + name);
    return *at;
  }
  static Texts names(const Catalog& catalog) {
    Texts out;
    for (const auto& e : catalog.entities) out.push_back(e.name);
    return out;
  }
  static std::string why_bad(const Catalog& catalog, const std::string& name) {
    const auto at = std::ranges::find(catalog.bad, name, &BadEntity::name);
    return at == catalog.bad.end() ? "" : at->error.message;
  }
  struct Content {
    Texts rows;  // `a|b|NULL`
    Texts rejected;
  };
  Content content(Source& source, const std::string& name, ReadParams params = {}) {
    const auto catalog = source.discover({});
    if (!catalog) throw std::runtime_error(describe(catalog.error()));
    params.entity = name;
    if (params.columns.empty()) params.columns = entity(*catalog, name).schema->field_names();
    auto reader = source.open(params, {});
    if (!reader) throw std::runtime_error(describe(reader.error()));
    Content out;
    for (;;) {
      auto batch = (*reader)->next();
      if (!batch) throw std::runtime_error(describe(batch.error()));
      if (!*batch) return out;
      for (std::int64_t row = 0; row < (*batch)->batch->num_rows(); ++row) {
        std::string text;
        for (const auto& column : (*batch)->batch->columns()) {
          text += (text.empty() ? "" : "|") +
                  (column->IsNull(row) ? "NULL" : (*column->GetScalar(row))->ToString());
        }
        out.rows.push_back(std::move(text));
      }
      for (const auto& r : (*batch)->rejected) out.rejected.push_back(r.locator + ": " + r.reason);
    }
  }

  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
  const std::string name_;
  std::unique_ptr<Connection> db_;
};

// One row for each type: PostgreSQL's name, a literal, the Arrow type, the value as text.
TEST_F(PostgresSourceTest, EveryTypeArrivesWithNothingLost) {
  struct Case {
    const char *type, *literal, *arrow, *text;
  };
  sql("CREATE TYPE mood AS ENUM ('sad', 'glad')");
  sql("CREATE DOMAIN price AS numeric(10,3)");
  sql("CREATE DOMAIN dear AS price CHECK (VALUE > 1)");
  sql("CREATE TYPE pair AS (a int, b text)");
  const Case cases[] = {
      {"boolean", "true", "bool", "true"},
      {"smallint", "-32768", "int16", "-32768"},
      {"integer", "2147483647", "int32", "2147483647"},
      {"bigint", "-9223372036854775808", "int64", "-9223372036854775808"},
      {"oid", "4294967295", "int64", "4294967295"},
      {"real", "0.1", "float", "0.1"},
      {"double precision", "0.1", "double", "0.1"},
      {"numeric(12,2)", "12345678.90", "decimal128(12, 2)", "12345678.90"},
      {"numeric(38,20)", "-0.00000000000000000001", "decimal128(38, 20)", "-1E-20"},
      {"numeric", "1.10", "string", "1.10"},
      {"numeric(50,10)", "1.5", "string", "1.5000000000"},
      {"price", "7.5", "decimal128(10, 3)", "7.500"},
      {"dear", "7.5", "decimal128(10, 3)", "7.500"},
      {"text", "''", "string", ""},
      {"varchar(5)", "'ab'", "string", "ab"},
      {"char(4)", "'ab'", "string", "ab  "},
      {"bytea", "'\\x41ff'", "binary", "A\xff"},
      {"date", "'0044-03-15 BC'", "date32[day]", "-0043-03-15"},
      {"date", "'9999-12-31'", "date32[day]", "9999-12-31"},
      {"time", "'23:59:59.999999'", "time64[us]", "23:59:59.999999"},
      {"timestamp", "'2026-01-31 09:00:00.123456'", "timestamp[us]", "2026-01-31 09:00:00.123456"},
      {"timestamptz", "'2026-01-31 09:00:00.123456+02'", "timestamp[us, tz=UTC]",
       "2026-01-31 07:00:00.123456Z"},
      {"timetz", "'09:00:00+02'", "string", "09:00:00+02"},
      {"interval", "'1 year 2 days 3 hours'", "string", "P1Y2DT3H"},
      {"uuid", "'01234567-89AB-cdef-0123-456789abcdef'", "string",
       "01234567-89ab-cdef-0123-456789abcdef"},
      {"json", "'{\"b\":1,  \"a\":null}'", "string", "{\"b\":1,  \"a\":null}"},
      {"jsonb", "'{\"b\":12345678901234567890.5,\"a\":null}'", "string",
       "{\"a\": null, \"b\": 12345678901234567890.5}"},
      {"integer[]", "'{1,NULL,3}'", "string", "[1,null,3]"},
      {"text[]", "'{\"a\",\"NULL\"}'", "string", "[\"a\",\"NULL\"]"},
      {"pair", "ROW(1, 'x')", "string", "{\"a\":1,\"b\":\"x\"}"},
      {"mood", "'glad'", "string", "glad"},
      {"inet", "'10.0.0.1/8'", "string", "10.0.0.1/8"},
      {"int4range", "'[1,5)'", "string", "[1,5)"},
      {"money", "1.5", "string", "$1.50"},
      {"bit(3)", "B'101'", "string", "101"},
      {"point", "'(1,2)'", "string", "(1,2)"},
      {"tsvector", "'a b'", "string", "'a' 'b'"},
  };
  std::string columns, values;
  int n = 0;
  for (const Case& c : cases) {
    columns += fmt::format("{}c{} {}", n == 0 ? "" : ", ", n, c.type);
    values += fmt::format("{}{}", n++ == 0 ? "" : ", ", c.literal);
  }
  sql(fmt::format("CREATE TABLE t ({})", columns));
  sql(fmt::format("INSERT INTO t VALUES ({})", values));
  sql("INSERT INTO t DEFAULT VALUES");
  const auto s = source();
  const auto catalog = s->discover({});
  ASSERT_TRUE(catalog) << describe(catalog.error());
  const auto schema = entity(*catalog, "t").schema;
  const Content got = content(*s, "t");
  EXPECT_THAT(got.rejected, IsEmpty());
  ASSERT_EQ(got.rows.size(), 2U);
  n = 0;
  for (const Case& c : cases) {
    EXPECT_EQ(schema->field(n)->type()->ToString(), c.arrow) << c.type;
    const Content one = content(*s, "t", {.columns = {fmt::format("c{}", n++)}});
    EXPECT_EQ(one.rows.at(0), c.text) << c.type;
    EXPECT_EQ(one.rows.at(1), "NULL") << c.type;
  }
  const auto named = [&](const char* type) {
    const auto at = std::ranges::find_if(
        cases, [&](const Case& c) { return std::string_view(c.type) == type; });
    return schema->field(static_cast<int>(at - std::begin(cases)));
  };
  for (const char* type : {"json", "jsonb", "integer[]", "pair"})
    EXPECT_TRUE(is_json(*named(type))) << type;
  EXPECT_FALSE(is_json(*named("text")));
  EXPECT_THAT(entity(*catalog, "t").warnings,
              ElementsAre(HasSubstr("\"c9\" is numeric without"), HasSubstr("\"c10\"")));
}

TEST_F(PostgresSourceTest, WhatHasNoPlaceIsRejectedRowByRow) {
  sql("CREATE TABLE t (id int PRIMARY KEY, d date, n numeric(5,1), f float8)");
  sql("INSERT INTO t VALUES (1, 'infinity', 1, 'NaN'), (2, '2026-01-01', 'NaN', 'Infinity'), (3, "
      "'2026-01-01', 2, 1)");
  const Content got = content(*source(), "t");
  EXPECT_THAT(got.rows, ElementsAre("3|2026-01-01|2.0|1"));
  EXPECT_THAT(got.rejected, ElementsAre(HasSubstr("t row 1: column \"d\": infinity"),
                                        HasSubstr("t row 2: column \"n\": NaN")));
}

TEST_F(PostgresSourceTest, TablesOfEverySchemaViewsAndPartitionedTablesAreEntities) {
  sql("CREATE SCHEMA sales");
  sql("CREATE SCHEMA \"od.d\"\"x\"");
  sql("CREATE TABLE sales.orders (id int)");
  sql("CREATE TABLE \"od.d\"\"x\".\"T\" (\"Id \" int)");
  sql("CREATE TABLE part (id int, at date) PARTITION BY RANGE (at)");
  sql("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')");
  sql("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2026-07-01') TO ('2027-01-01')");
  sql("INSERT INTO part VALUES (1, '2026-02-01'), (2, '2026-08-01')");
  sql("CREATE VIEW v AS SELECT id * 2 AS twice FROM part ORDER BY id");
  sql("CREATE MATERIALIZED VIEW m AS SELECT 1 AS one");
  sql("CREATE MATERIALIZED VIEW empty AS SELECT 1 AS one WITH NO DATA");
  sql("CREATE TABLE _tidegate_state (job text)");
  sql("CREATE TABLE nothing ()");
  const auto s = source();
  const auto catalog = s->discover({});
  ASSERT_TRUE(catalog) << describe(catalog.error());
  EXPECT_THAT(names(*catalog), ElementsAre("m", "part", "v", "od.d\"x.T", "sales.orders"));
  EXPECT_THAT(why_bad(*catalog, "empty"), HasSubstr("REFRESH MATERIALIZED VIEW"));
  EXPECT_THAT(why_bad(*catalog, "nothing"), HasSubstr("no columns"));
  EXPECT_THAT(content(*s, "part").rows, ElementsAre("1|2026-02-01", "2|2026-08-01"));
  EXPECT_THAT(content(*s, "v").rows, ElementsAre("2", "4"));
  EXPECT_THAT(content(*s, "od.d\"x.T").rows, IsEmpty());
  const auto few = source({{"schemas", {"sales"}}})->discover({});
  ASSERT_TRUE(few);
  EXPECT_THAT(names(*few), ElementsAre("sales.orders"));
}

TEST_F(PostgresSourceTest, KeysAndCursorsAreOffered) {
  sql("CREATE TABLE t (b int, a text, at timestamptz, code text UNIQUE NOT NULL, maybe text "
      "UNIQUE, x int NOT NULL, y int NOT NULL, dropped int, PRIMARY KEY (a, b))");
  sql("ALTER TABLE t DROP COLUMN dropped");
  sql("CREATE UNIQUE INDEX ON t (x, y)");
  sql("CREATE UNIQUE INDEX ON t (x) WHERE y > 0");
  sql("CREATE UNIQUE INDEX ON t (lower(code))");
  const auto catalog = source()->discover({});
  ASSERT_TRUE(catalog);
  const EntityInfo& info = entity(*catalog, "t");
  EXPECT_THAT(info.primary_key, ElementsAre("a", "b"));
  EXPECT_THAT(info.key_candidates, ElementsAre("code"));
  EXPECT_THAT(info.cursor_candidates, ElementsAre("at", "b", "x", "y"));
}

TEST_F(PostgresSourceTest, AMissingPrivilegeIsOfItsEntityAndNamesTheGrant) {
  sql("CREATE TABLE open (id int)");
  sql("CREATE TABLE shut (id int)");
  sql("CREATE TABLE half (id int, secret text)");
  sql("CREATE SCHEMA hidden");
  sql("CREATE TABLE hidden.t (id int)");
  const std::string role = "r" + name_;
  sql("CREATE ROLE " + role + " LOGIN PASSWORD 'pw'");
  sql("GRANT SELECT ON open TO " + role + "");
  sql("GRANT SELECT (id) ON half TO " + role);
  std::string url = server_url(name_);
  url.replace(0, url.find('@'), "postgresql://" + role + ":pw");
  auto made = postgres_connector().make_source({{"url", url}}, context_);
  ASSERT_TRUE(made);
  const auto catalog = (*made)->discover({});
  ASSERT_TRUE(catalog) << describe(catalog.error());
  // Of `half` the columns that may be read can be: the others are left out, or named.
  EXPECT_THAT(names(*catalog), ElementsAre("half", "open"));
  EXPECT_THAT(why_bad(*catalog, "shut"),
              HasSubstr("GRANT SELECT ON \"public\".\"shut\" TO \"" + role + "\""));
  EXPECT_THAT(entity(*catalog, "half").warnings, IsEmpty());
  const auto half = [&](const Texts& columns) {
    return (*made)->open({.entity = "half",
                          .columns = columns,
                          .where = {},
                          .cursor = {},
                          .from = {},
                          .to = {},
                          .limit = {}},
                         {});
  };
  EXPECT_TRUE(half({"id"}));
  const auto refused = half({"id", "secret"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Forbidden);
  EXPECT_THAT(refused.error().message, HasSubstr("GRANT SELECT (\"secret\") ON"));
  const auto sample = (*made)->sample();
  ASSERT_TRUE(sample);
  EXPECT_THAT(entity(*sample, "half").warnings,
              ElementsAre(HasSubstr("GRANT SELECT (\"secret\") ON")));
  EXPECT_THAT(why_bad(*catalog, "hidden.t"), HasSubstr("GRANT USAGE ON SCHEMA \"hidden\""));
}

TEST_F(PostgresSourceTest, BoundsOfEveryKindKeepWhatTheyMust) {
  sql("CREATE TABLE t (id int, d date, ts timestamp, tz timestamptz, n numeric(9,3), s text)");
  sql("INSERT INTO t SELECT i, date '2026-01-01' + i, timestamp '2026-01-01' + i * interval '1 "
      "day', timestamptz '2026-01-01 00:00+00' + i * interval '1 day', i + 0.125, 'k' || (i + 100) "
      "FROM generate_series(0, 9) i");
  sql("INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL)");
  const auto s = source();
  const auto bounded = [&](const std::string& column, const CursorValue& from,
                           const CursorValue& to) {
    ReadParams params{.entity = "t",
                      .columns = {"id"},
                      .where = {},
                      .cursor = column,
                      .from = from,
                      .to = to,
                      .limit = {}};
    return content(*s, "t", params).rows;
  };
  const auto day = [](int i) { return CursorValue::date(20'454 + i); };  // 2026-01-01
  const auto time = [&](int i) {
    return CursorValue::timestamp_ns(Int128{20'454 + i} * 86'400 * 1'000'000'000);
  };
  const auto expect_at_least = [](const Texts& got, int first, int last) {
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(got.front(), "NULL") << "NULLs come first";
    for (int i = first; i <= last; ++i)
      EXPECT_TRUE(std::ranges::count(got, std::to_string(i))) << i;
    EXPECT_TRUE(std::ranges::is_sorted(got.begin() + 1, got.end()));
  };
  const Texts three{"NULL", "3", "4", "5"};
  EXPECT_EQ(bounded("id", CursorValue::integer(3), CursorValue::integer(5)), three);
  EXPECT_EQ(bounded("d", day(3), day(5)), three);
  EXPECT_EQ(bounded("n", CursorValue::decimal(3125, 3), CursorValue::decimal(5125, 3)), three);
  EXPECT_EQ(bounded("s", CursorValue::text("k103"), CursorValue::text("k105")).size(), 7U)
      << "below it may be what sorts otherwise";
  expect_at_least(bounded("ts", time(3), time(5)), 3, 5);
  expect_at_least(bounded("tz", time(3), time(5)), 3, 5);
  EXPECT_LE(bounded("tz", time(3), time(5)).size(), 4U);
}

TEST_F(PostgresSourceTest, AConditionIsAnExpressionAndNothingElse) {
  sql("CREATE TABLE t (id int, name text)");
  sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  const auto s = source();
  const auto with = [&](const std::string& where) -> std::string {
    try {
      const Content got = content(*s, "t",
                                  {.entity = "t",
                                   .columns = {"id"},
                                   .where = {where},
                                   .cursor = {},
                                   .from = {},
                                   .to = {},
                                   .limit = {}});
      std::string text;
      for (const auto& row : got.rows) text += row + " ";
      return text;
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  };
  EXPECT_EQ(with("name = 'b'"), "2 ");
  EXPECT_EQ(with("id = 1 -- the first"), "1 ");
  EXPECT_THAT(with(" "), HasSubstr("it is empty"));
  EXPECT_THAT(with("id = 1) OR (id = 2"), HasSubstr("was refused"));
  EXPECT_THAT(with("id = 1 ORDER BY id"), HasSubstr("was refused"));
  EXPECT_THAT(with("id = 1; DROP TABLE t"), HasSubstr("was refused"));
  EXPECT_THAT(with("nope = 1"), HasSubstr("column \"nope\" does not exist"));
  EXPECT_THAT(with("1 / (id - 2) < 5"), HasSubstr("division by zero"));
}

// Two tables of one name: neither is read for the other, or takes its place in a destination.
TEST_F(PostgresSourceTest, TwoTablesOfOneNameAreToldApart) {
  sql("CREATE SCHEMA a");
  sql("CREATE TABLE a.b (id int)");
  sql("CREATE TABLE public.\"a.b\" (id text)");
  const auto catalog = source()->discover({});
  ASSERT_TRUE(catalog);
  EXPECT_THAT(names(*catalog), IsEmpty());
  ASSERT_EQ(catalog->bad.size(), 1U);
  EXPECT_EQ(catalog->bad[0].name, "a.b");
  EXPECT_THAT(catalog->bad[0].error.message, HasSubstr("two tables would be called \"a.b\""));
}

// Seen: rows were left out, since 10.0.0.10 comes before 10.0.0.9 as a text.
TEST_F(PostgresSourceTest, AColumnWhoseTextSortsOtherwiseIsNoCursor) {
  sql("CREATE TYPE mood AS ENUM ('sad', 'happy')");
  sql("CREATE TABLE t (address inet, feeling mood, list int[], doc jsonb, price money)");
  const auto s = source();
  ASSERT_TRUE(s->discover({}));
  for (const char* column : {"address", "feeling", "list", "doc", "price"}) {
    ReadParams params;
    params.entity = "t";
    params.columns = {column};
    params.cursor = column;
    const auto refused = s->open(params, {});
    ASSERT_FALSE(refused) << column;
    EXPECT_THAT(refused.error().message, HasSubstr("cannot be the cursor"));
  }
}

// Seen: the bound was padded and what it was compared with was not, so that rows at it were left
// out.
TEST_F(PostgresSourceTest, ACharacterCursorLosesNoRowAtItsBound) {
  sql("CREATE TABLE t (id int, c char(5))");
  sql("INSERT INTO t VALUES (1, 'A'), (2, 'E'), (3, 'E')");
  const auto s = source();
  ReadParams params;
  params.columns = {"id", "c"};
  params.cursor = "c";
  params.from = *CursorValue::parse(CursorKind::Text, "E    ");
  EXPECT_THAT(content(*s, "t", params).rows, ::testing::IsSupersetOf({"2|E    ", "3|E    "}));
}

// Seen: what a policy hid was deleted in the destination.
TEST_F(PostgresSourceTest, RowsThatAPolicyHidesAreAnErrorAndNotGone) {
  const std::string role = "reader" + std::to_string(getpid());
  sql("CREATE TABLE t (id int)");
  sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
  sql("CREATE POLICY p ON t USING (id = 1)");
  sql("CREATE ROLE " + role + " LOGIN PASSWORD 'r'");
  sql("GRANT SELECT ON t TO " + role);
  std::string url(config_of(name_).at("url").as_string());
  const std::size_t user = url.find("//") + 2;
  url.replace(user, url.find('@') - user, role + ":r");
  const auto s = source({{"url", url}});
  ASSERT_TRUE(s->discover({}));
  ReadParams params;
  params.entity = "t";
  params.columns = {"id"};
  const auto reader = s->open(params, {});
  Status refused = reader ? Status() : fail(reader.error());
  if (reader) {
    if (const auto batch = (*reader)->next(); !batch) refused = fail(batch.error());
  }
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("row-level security"), HasSubstr("BYPASSRLS")));
  sql("DROP OWNED BY " + role);
  sql("DROP ROLE " + role);
}

TEST_F(PostgresSourceTest, AReadIsOneSnapshotAndAnAbandonedOneHoldsNothing) {
  sql("CREATE TABLE t (id int)");
  sql("INSERT INTO t SELECT generate_series(1, 100000)");
  const auto s = source();
  ASSERT_TRUE(s->discover({}));
  auto reader = s->open({.entity = "t",
                         .columns = {"id"},
                         .where = {},
                         .cursor = {},
                         .from = {},
                         .to = {},
                         .limit = {}},
                        {});
  ASSERT_TRUE(reader) << describe(reader.error());
  auto first = (*reader)->next();
  ASSERT_TRUE(first);
  sql("DELETE FROM t");
  std::int64_t rows = (*first)->batch->num_rows();
  for (auto batch = (*reader)->next(); batch && *batch; batch = (*reader)->next())
    rows += (**batch).batch->num_rows();
  EXPECT_EQ(rows, 100'000);
  reader = s->open({.entity = "t",
                    .columns = {"id"},
                    .where = {},
                    .cursor = {},
                    .from = {},
                    .to = {},
                    .limit = {}},
                   {});
  ASSERT_TRUE(reader);
  reader->reset();
  EXPECT_THAT(content(*s, "t").rows, IsEmpty());
}

struct NoWayIn {
  const char* url;
  Code code;
  const char* says;
};
TEST_F(PostgresSourceTest, WhoCannotConnectIsToldWhy) {
  const std::string server = server_url(name_), at = server.substr(server.find('@'));
  const std::string host = at.substr(1, at.rfind('/') - 1);
  for (const NoWayIn& c :
       {NoWayIn{"tidegate:wrong-secret@H/D", Code::Unauthorized, "check user and password"},
        NoWayIn{"tidegate:tidegate-test@H/nowhere", Code::NotFound, "nowhere"},
        NoWayIn{"tidegate:tidegate-test@127.0.0.1:1/D", Code::Unavailable, "cannot be reached"},
        NoWayIn{"tidegate:tidegate-test@H/D?sslmode=require", Code::Invalid, "TLS"}}) {
    std::string url = std::string("postgresql://") + c.url;
    if (const auto h = url.find("@H/"); h != std::string::npos) url.replace(h + 1, 1, host);
    if (const auto d = url.find("/D"); d != std::string::npos) url.replace(d + 1, 1, name_);
    auto made = postgres_connector().make_source({{"url", url}}, context_);
    ASSERT_TRUE(made) << c.url;
    const Status checked = (*made)->check();
    ASSERT_FALSE(checked) << c.url;
    EXPECT_EQ(checked.error().code, c.code) << describe(checked.error());
    EXPECT_THAT(checked.error().message, HasSubstr(c.says));
    EXPECT_THAT(checked.error().message, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace tidegate::engine::postgres
