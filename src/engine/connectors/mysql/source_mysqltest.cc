// What is MySQL's own: types, values that have no place elsewhere, snapshots, ways in.

#include "engine/connectors/mysql/source.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/util/string.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <thread>

#include "base/rng.h"
#include "engine/connectors/mysql/mysql.h"
#include "engine/connectors/mysql/server_fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Texts = std::vector<std::string>;

class MysqlSourceTest : public ::testing::Test {
 protected:
  MysqlSourceTest()
      : name_(database_of(testing::UnitTest::GetInstance()->current_test_info()->name() +
                          std::to_string(getpid()))),
        db_(console(name_)) {}

  void sql(const std::string& text) { run(*db_, text); }
  std::unique_ptr<Source> source() {
    auto made = mysql_connector().make_source(config_of(name_), context_);
    if (!made) throw std::runtime_error(describe(made.error()));
    return std::move(*made);
  }
  static const EntityInfo& entity(const Catalog& catalog, const std::string& name) {
    const auto at = std::ranges::find(catalog.entities, name, &EntityInfo::name);
    if (at == catalog.entities.end()) throw std::runtime_error("not found: " + name);
    return *at;
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
          text +=
              (text.empty() ? "" : "|") +
              (column->IsNull(row) ? "NULL"
               : column->type_id() == arrow::Type::BINARY
                   ? arrow::HexEncode(static_cast<const arrow::BinaryArray&>(*column).GetView(row))
                   : (*column->GetScalar(row))->ToString());
        }
        out.rows.push_back(std::move(text));
      }
      for (const auto& r : (*batch)->rejected) out.rejected.push_back(r.locator + ": " + r.reason);
    }
  }

  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  std::stop_source stop_;
  Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = stop_.get_token()};
  const std::string name_;
  std::unique_ptr<Connection> db_;
};

// One row for each type: MySQL's name, a literal, the Arrow type, the value as text.
TEST_F(MysqlSourceTest, EveryTypeArrivesWithNothingLost) {
  struct Case {
    const char *type, *literal, *arrow, *text;
  };
  const Case cases[] = {
      {"tinyint", "-128", "int8", "-128"},
      {"boolean", "true", "int8", "1"},
      {"tinyint unsigned", "255", "uint8", "255"},
      {"smallint unsigned", "65535", "uint16", "65535"},
      {"mediumint unsigned", "16777215", "uint32", "16777215"},
      {"int", "-2147483648", "int32", "-2147483648"},
      {"int(8) unsigned zerofill", "42", "uint32", "42"},
      {"bigint", "-9223372036854775808", "int64", "-9223372036854775808"},
      {"bigint unsigned", "18446744073709551615", "uint64", "18446744073709551615"},
      {"bit(1)", "b'1'", "bool", "true"},
      {"bit(64)", "0x8000000000000001", "uint64", "9223372036854775809"},
      {"year", "1901", "int16", "1901"},
      {"float", "16777215", "float", "16777215"},
      {"float", "0.1", "float", "0.1"},
      {"double", "0.1", "double", "0.1"},
      {"double", "1.7976931348623157e308", "double", "1.7976931348623157e+308"},
      {"decimal(38,4)", "-1234567890123456789012345678901234.5678", "decimal128(38, 4)",
       "-1234567890123456789012345678901234.5678"},
      {"decimal(65,30)", "12345678901234567890123456789012345.000000000000000000000000000001",
       "string", "12345678901234567890123456789012345.000000000000000000000000000001"},
      {"char(5)", "'ab'", "string", "ab"},
      {"varchar(20)", "'naïve 😀 '", "string", "naïve 😀 "},
      {"varchar(20) CHARACTER SET latin1", "'größe'", "string", "größe"},
      {"enum('x','ü')", "'ü'", "string", "ü"},
      {"set('a','b','c')", "'a,c'", "string", "a,c"},
      {"json", R"('{"a": [1, null, 12345678901234567890123]}')", "string",
       R"({"a": [1, null, 12345678901234567890123]})"},
      {"binary(3)", "x'00ff'", "binary", "00FF00"},
      {"longblob", "x'0027'", "binary", "0027"},
      {"point", "ST_GeomFromText('POINT(1 2)', 4326)", "binary",
       "E61000000101000000000000000000F03F0000000000000040"},
      {"date", "'9999-12-31'", "date32[day]", "9999-12-31"},
      {"date", "'0001-01-01'", "date32[day]", "0001-01-01"},
      {"time(6)", "'23:59:59.999999'", "time64[us]", "23:59:59.999999"},
      {"time", "'00:00:01'", "time64[us]", "00:00:01.000000"},
      {"datetime(6)", "'1000-01-01 00:00:00.000001'", "timestamp[us]",
       "1000-01-01 00:00:00.000001"},
      {"datetime(3)", "'1969-12-31 23:59:59.500'", "timestamp[us]", "1969-12-31 23:59:59.500000"},
      {"timestamp(6) NULL", "'2038-01-19 03:14:07.999999'", "timestamp[us, tz=UTC]",
       "2038-01-19 03:14:07.999999Z"},
      {"uuid", "'123e4567-e89b-12d3-a456-426655440000'", "string",
       "123e4567-e89b-12d3-a456-426655440000"},
      {"inet6", "'2001:db8::ff00:42:8329'", "string", "2001:db8::ff00:42:8329"},
  };
  std::string columns, values, nulls, want;
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    columns += fmt::format("{}c{} {}", i == 0 ? "" : ", ", i, cases[i].type);
    values += fmt::format("{}{}", i == 0 ? "" : ", ", cases[i].literal);
    nulls += i == 0 ? "NULL" : ", NULL";
    want += fmt::format("{}{}", i == 0 ? "" : "|", cases[i].text);
  }
  sql(fmt::format("CREATE TABLE t ({}) CHARACTER SET utf8mb4", columns));
  sql(fmt::format("INSERT INTO t VALUES ({}), ({})", values, nulls));
  const auto s = source();
  const auto catalog = s->discover({});
  ASSERT_TRUE(catalog) << describe(catalog.error());
  const EntityInfo& t = entity(*catalog, "t");
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(t.schema->field(static_cast<int>(i))->type()->ToString(), cases[i].arrow)
        << cases[i].type;
  }
  EXPECT_TRUE(is_json(*t.schema->field(23)));
  EXPECT_THAT(t.warnings, ElementsAre(HasSubstr("38 digits")));
  const Content got = content(*s, "t");
  EXPECT_THAT(got.rejected, IsEmpty());
  ASSERT_EQ(got.rows.size(), 2U);
  EXPECT_EQ(got.rows[0], want);
}

// Symptom elsewhere: '0000-00-00' arrives as 0001-01-01, or as NULL, and a time of 30 hours as 6.
TEST_F(MysqlSourceTest, ValuesWithoutAPlaceElsewhereAreRejectedWithAReason) {
  sql("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'");
  sql("CREATE TABLE t (id int PRIMARY KEY, d date, at datetime, c time)");
  sql("INSERT INTO t VALUES (1, '2026-01-31', '2026-01-31', '00:00:00'), (2, '0000-00-00', NULL, "
      "NULL), (3, '2026-02-31', NULL, NULL), (4, NULL, '2026-00-01 00:00:00', NULL), (5, NULL, "
      "NULL, '24:00:00'), (6, NULL, NULL, '-00:00:01'), (7, NULL, NULL, '838:59:59')");
  const auto s = source();
  const Content got = content(*s, "t");
  EXPECT_THAT(got.rows, ElementsAre("1|2026-01-31|2026-01-31 00:00:00.000000|00:00:00.000000"));
  EXPECT_THAT(
      got.rejected,
      ElementsAre(
          AllOf(HasSubstr("t row 2"), HasSubstr("\"d\": 0000-00-00"), HasSubstr("NULLIF()")),
          HasSubstr("\"d\": 2026-02-31 is no day"), HasSubstr("\"at\": 2026-00-01 is no day"),
          AllOf(HasSubstr("\"c\": 24:00:00"), HasSubstr("TIME_TO_SEC()")),
          HasSubstr("-00:00:01 is no time of a day"), HasSubstr("838:59:59")));
}

TEST_F(MysqlSourceTest, KeysCandidatesAndViewsAreFound) {
  sql("CREATE TABLE t (a int, b varchar(10), u int NOT NULL UNIQUE, n int UNIQUE, p varchar(900) "
      "NOT "
      "NULL, at timestamp(6) NOT NULL, PRIMARY KEY (b, a), UNIQUE KEY (p(10)))");
  sql("CREATE VIEW v AS SELECT u, at FROM t");
  sql("CREATE TABLE _tidegate_x (a int)");
  const auto s = source();
  const auto catalog = s->discover({});
  ASSERT_TRUE(catalog) << describe(catalog.error());
  ASSERT_EQ(catalog->entities.size(), 2U);
  const EntityInfo& t = entity(*catalog, "t");
  EXPECT_THAT(t.primary_key, ElementsAre("b", "a"));
  EXPECT_THAT(t.key_candidates, ElementsAre("u"));
  EXPECT_THAT(t.cursor_candidates, ElementsAre("at", "a", "u", "n"));
  EXPECT_THAT(entity(*catalog, "v").primary_key, IsEmpty());
}

TEST_F(MysqlSourceTest, AReadIsOneSnapshotAndAnAbandonedOneHoldsNothing) {
  sql("CREATE TABLE t (id int) ENGINE = InnoDB");
  sql("INSERT INTO t SELECT seq FROM seq_1_to_100000");
  const auto s = source();
  ASSERT_TRUE(s->discover({}));
  const ReadParams params{.entity = "t", .columns = {"id"}};
  auto reader = s->open(params, {});
  ASSERT_TRUE(reader) << describe(reader.error());
  auto first = (*reader)->next();
  ASSERT_TRUE(first);
  sql("DELETE FROM t");
  std::int64_t rows = (*first)->batch->num_rows();
  for (auto batch = (*reader)->next(); batch && *batch; batch = (*reader)->next())
    rows += (**batch).batch->num_rows();
  EXPECT_EQ(rows, 100'000);
  sql("INSERT INTO t SELECT seq FROM seq_1_to_100000");
  reader = s->open(params, {});
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->next());
  reader->reset();
  sql("DROP TABLE t");
  EXPECT_THAT(s->discover({})->entities, IsEmpty());
}

TEST_F(MysqlSourceTest, ConditionsAreCheckedAndTold) {
  sql("CREATE TABLE t (id int)");
  sql("INSERT INTO t VALUES (1), (2), (3)");
  const auto s = source();
  EXPECT_THAT(content(*s, "t", {.where = {"id > 1 -- old", "id < 3"}}).rows, ElementsAre("2"));
  for (const char* where : {"id >", "1) OR (1", "", "nothing = 1", "1; DELETE FROM t"}) {
    const auto reader = s->open({.entity = "t", .columns = {"id"}, .where = {where}}, {});
    ASSERT_FALSE(reader) << where;
    EXPECT_EQ(reader.error().code, Code::Invalid);
    EXPECT_THAT(reader.error().message, HasSubstr("entity \"t\": the condition `where`"));
  }
  EXPECT_THAT(content(*s, "t").rows, ElementsAre("1", "2", "3"));
}

// Symptom elsewhere: a read that a lock holds up ends only when the server gives up.
TEST_F(MysqlSourceTest, AStopEndsACallThatWaits) {
  auto connection = Connection::open(*read_config(config_of(name_)), stop_.get_token(), false);
  ASSERT_TRUE(connection);
  // The server says that it waits before the stop is asked for.
  std::thread stopper([&] {
    for (;;) {
      const auto waiting = db_->query(
          "SELECT count(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'");
      if (waiting && waiting->integer(0, 0) > 0) break;
    }
    stop_.request_stop();
  });
  const auto begun = std::chrono::steady_clock::now();
  const Status slept = (*connection)->exec("SELECT SLEEP(600)");
  stopper.join();
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error().code, Code::Cancelled) << describe(slept.error());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(300));
}

// A server that is not what it seems may ask for any file of the client.
TEST_F(MysqlSourceTest, NoFileOfThisMachineIsSent) {
  sql("CREATE TABLE t (line longtext)");
  for (const bool writes : {false, true}) {
    auto connection = Connection::open(*read_config(config_of(name_)), {}, writes);
    ASSERT_TRUE(connection);
    const Status sent = (*connection)->exec("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t");
    EXPECT_FALSE(sent);
    const auto rows = db_->query("SELECT count(*) FROM t");
    EXPECT_EQ(rows->integer(0, 0), 0);
  }
}

struct NoWayIn {
  const char* url;
  Code code;
  const char* says;
};
TEST_F(MysqlSourceTest, WhoCannotConnectIsToldWhy) {
  const std::string server = server_url(name_), at = server.substr(server.find('@'));
  const std::string host = at.substr(1, at.rfind('/') - 1);
  for (const NoWayIn& c :
       {NoWayIn{"tidegate:wrong-secret@H/D", Code::Unauthorized, "check user and password"},
        NoWayIn{"tidegate:tidegate-test@H/nowhere", Code::NotFound, "nowhere"},
        NoWayIn{"tidegate:tidegate-test@127.0.0.1:1/D", Code::Unavailable, "check that it runs"},
        NoWayIn{"tidegate:tidegate-test@H/D?ssl-mode=required", Code::Invalid, "TLS"},
        NoWayIn{"tidegate:tidegate-test@H/D?ssl-mode=verify-identity", Code::Invalid, "sslMode"}}) {
    std::string url = std::string("mysql://") + c.url;
    if (const auto h = url.find("@H/"); h != std::string::npos) url.replace(h + 1, 1, host);
    if (const auto d = url.find("/D"); d != std::string::npos) url.replace(d + 1, 1, name_);
    auto made = mysql_connector().make_source({{"url", url}}, context_);
    ASSERT_TRUE(made) << c.url;
    const Status checked = (*made)->check();
    ASSERT_FALSE(checked) << c.url;
    EXPECT_EQ(checked.error().code, c.code) << describe(checked.error());
    EXPECT_THAT(checked.error().message, HasSubstr(c.says));
    EXPECT_THAT(checked.error().message, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace tidegate::engine::mysql
