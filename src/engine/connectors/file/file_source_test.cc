#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {

using Texts = std::vector<std::string>;

// regressions.md: CSV columns become text in alphabetical order; empty string and NULL are mixed
// up.
TEST_F(FileSourceTest, TypesAreThoseOfEveryRowInTheFilesOrder) {
  write("b.csv",
        "z,a,flag,when,at,tz,price,zip,big,none,mixed\n"
        "1,x,true,2026-01-01,2026-01-01T09:00:00,2026-01-01T09:00:00+01:00,12.50,01234,"
        "9223372036854775807,,1\n"
        "-2,\"\",FALSE,2026-01-02,2026-01-02,2026-01-01 08:00Z,-0.1,99999,"
        "9223372036854775808,,x\n"
        ",,,,,,,,,,\n");
  const Read got = read(R"({"path": "*.csv"})", "b");
  EXPECT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.types,
            "z:int64 a:string flag:bool when:date32[day] at:timestamp[us] tz:timestamp[us, tz=UTC] "
            "price:double zip:string big:string none:null mixed:string");
  EXPECT_EQ(got.rows, (Texts{"1|x|true|2026-01-01|2026-01-01T09:00:00|2026-01-01T08:00:00Z|12.5|"
                             "01234|9223372036854775807|∅|1",
                             "-2||false|2026-01-02|2026-01-02T00:00:00|2026-01-01T08:00:00Z|-0.1|"
                             "99999|9223372036854775808|∅|x",
                             "∅|∅|∅|∅|∅|∅|∅|∅|∅|∅|∅"}));
  EXPECT_EQ(got.announced, 3);
}

TEST_F(FileSourceTest, InferenceTable) {
  struct Case {
    Texts values;
    const char* type;
  };
  const Case cases[] = {
      {{"1", "2.5"}, "double"},
      {{"9007199254740993", "2.5"}, "decimal128(17, 1)"},  // 2^53 + 1 is no double
      {{"9007199254740993", "1"}, "int64"},
      {{"9223372036854775808", "1"}, "string"},
      {{"0.12345678901234567890", "1"}, "decimal128(21, 20)"},
      {{"0.1", "1.5e-7"}, "double"},
      {{"1", "true"}, "string"},
      {{"1", "\"2\""}, "int64"},
      {{"1", "\"\""}, "string"},
      {{"2026-01-01", "2026-01-01 10:00"}, "timestamp[us]"},
      {{"2026-01-01T10:00:00Z", "2026-01-01 10:00"}, "string"},
      {{"2026-01-01T10:00:00.123456789", "2026-01-01"}, "timestamp[ns]"},
      {{"2026-01-01T10:00:00.123456789", "1066-01-01"}, "string"},
      {{"", ""}, "null"},
      {{"1", "00"}, "string"},
      {{"12345678", "123456789"}, "int64"},
      {{"-1", "-0"}, "double"},
  };
  for (const Case& c : cases) {
    write("t.csv", "v,w\n" + c.values[0] + ",\n" + c.values[1] + ",\n");
    EXPECT_EQ(read(R"({"path": "t.csv"})", "t").types, std::string("v:") + c.type + " w:null")
        << c.values[0] << " and " << c.values[1];
  }
}

// A column that is a number for most of the file and then is not loses nothing.
TEST_F(FileSourceTest, TheLastRowDecidesToo) {
  std::string text = "a,b\n";
  for (int i = 0; i < 700'000; ++i) text += std::to_string(i) + ",1\n";  // read by two threads
  write("t.csv", text + "x,2\n");
  EXPECT_EQ(read(R"({"path": "t.csv"})", "t", {"b"}).types, "a:string b:int64");
  write("t.csv", "a,b\nx,2\n" + text.substr(4));
  const Read got = read(R"({"path": "t.csv"})", "t", {"b"});
  EXPECT_EQ(got.types, "a:string b:int64");
  EXPECT_EQ(got.rows.size(), 700'001U);
  EXPECT_EQ(got.announced, 700'001);
}

// The two threads that look for types guess where a row begins; here the guess is wrong.
TEST_F(FileSourceTest, AQuotedFieldAcrossTheMiddleOfTheFile) {
  std::string inside;
  while (inside.size() < (3U << 20)) inside += "1,2\n";
  std::string rows;
  while (rows.size() < (1U << 20)) rows += "3,4\n";
  write("t.csv", "a,b\n" + rows + "\"" + inside + "\",5\n" + rows + "6,x\n");
  const Read got = read(R"({"path": "t.csv"})", "t", {"b"});
  EXPECT_EQ(got.types, "a:string b:string");
  EXPECT_EQ(got.announced, static_cast<std::int64_t>(2 * rows.size() / 4 + 2));
  EXPECT_EQ(got.rows.size(), static_cast<std::size_t>(*got.announced));
  EXPECT_TRUE(got.bad.empty());
}

TEST_F(FileSourceTest, BadRowsComeBackWithLineAndReason) {
  using std::string_literals::operator""s;
  write("b.csv", "a,b\n1,2\n3\n4,\xFF\n5,\0\n\"6\"x,1\n7,\"\n8,9\n"s);
  const Read got = read(R"({"path": "b.csv"})", "b");
  EXPECT_EQ(got.rows, (Texts{"1|2", "8|9"}));
  EXPECT_EQ(got.announced, 2);
  EXPECT_EQ(got.types, "a:int64 b:int64");
  ASSERT_EQ(got.bad.size(), 5U);
  const Texts wanted = {"b.csv line 3: it has 1 field", "b.csv line 4: it is not valid UTF-8",
                        "b.csv line 5: it holds a NUL", "b.csv line 6: text follows",
                        "b.csv line 7: a quote is opened"};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(got.bad[i].starts_with(wanted[i])) << got.bad[i];
  }
}

TEST_F(FileSourceTest, DeclaredTypesRejectWhatTheyCannotHold) {
  write("b.csv",
        "i,d,m,t,j\n+07,1,12.5,2026-01-01,[1]\nx,1,1,2026-01-01,{}\n1,y,1.234,2026-13-01,{\n,,,,\n"
        "\"\",\"\",\"\",\"\",1e400\n");
  const Read got = read(R"j({"path": "b.csv", "types": {"i": "integer", "d": "text",
      "b": {"d": "double", "m": "decimal(5,2)"}, "t": "date", "j": "json"}})j",
                        "b");
  EXPECT_EQ(got.types, "i:int64 d:double m:decimal128(5, 2) t:date32[day] j:json");
  EXPECT_EQ(got.rows, (Texts{"7|1|12.50|2026-01-01|[1]", "∅|∅|∅|∅|∅", "∅|∅|∅|∅|1e400"}));
  ASSERT_EQ(got.bad.size(), 2U);
  EXPECT_TRUE(got.bad[0].starts_with("b.csv line 3: column \"i\": 'x' is no whole number"))
      << got.bad[0];
  for (const char* part :
       {"line 4", "\"d\": 'y'", "\"m\": '1.234'", "\"t\": '2026-13-01'", "\"j\": '{' is no JSON"}) {
    EXPECT_NE(got.bad[1].find(part), std::string::npos) << part << " in " << got.bad[1];
  }
}

TEST_F(FileSourceTest, NullValuesAreUnquotedWords) {
  write("b.csv", "a,b\nNA,NA\n1,\"NA\"\n");
  const Read got = read(R"({"path": "b.csv", "nullValues": ["NA", "-"]})", "b");
  EXPECT_EQ(got.types, "a:int64 b:string");
  EXPECT_EQ(got.rows, (Texts{"∅|∅", "1|NA"}));
}

TEST_F(FileSourceTest, Headers) {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"a,b,a\n1,2,3\n", "\"a\" twice (columns 1 and 3)"},
      {"a,,b\n", "column 2 of the header has no name"},
      {"a,\xFF\n", "the header cannot be read: it is not valid UTF-8"},
      {"\xFF\xFE"
       "a",
       "'t.csv': the file is UTF-16; convert it first"},
      // Once taken for a header of five columns and no rows, which emptied the table.
      {"id,v\r1,a\r2,b\r", "lines must end with LF or CRLF"},
      {"id,v\r1,a\nx,y\n", "column 2 holds a carriage return"},
      {"\"id\",\"v\"\r\"1\",\"a\"\r", "cannot be read"},
  };
  for (const Case& c : cases) {
    write("t.csv", c.text);
    const Read got = read(R"({"path": "t.csv"})", "t");
    ASSERT_TRUE(got.error);
    EXPECT_EQ(error_kind(*got.error), "data");
    EXPECT_NE(got.error->message.find(c.error), std::string::npos) << got.error->message;
  }
  write("t.csv",
        "\xEF\xBB\xBF"
        "1,x\n2,y\n");
  const Read got = read(R"({"path": "t.csv", "header": false})", "t");
  EXPECT_EQ(got.types, "column1:int64 column2:string");
  EXPECT_EQ(got.rows, (Texts{"1|x", "2|y"}));
}

// Symptom: `SQLite refuses: unrecognized token: ""c"`.
TEST_F(FileSourceTest, ANulInAHeaderIsRefusedWhereItStands) {
  using std::string_literals::operator""s;
  write("h.csv", "\nid,\"c\0d\"\n1,2\n"s);
  Read got = read(R"({"path": "h.csv"})", "h");
  ASSERT_TRUE(got.error);
  EXPECT_EQ(
      got.error->message,
      "'h.csv' line 2: column 2 is named \"c\\x00d\", which holds a NUL character; rename it");
  EXPECT_EQ(error_kind(*got.error), "data");
  EXPECT_EQ(read(R"({"path": "h.csv", "header": false})", "h").rows.size(), 2U);
  write("h.jsonl", "{\"id\": 1}\n{\"a\\u0000b\": 1}\n");
  got = read(R"({"path": "h.jsonl"})", "h");
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->message,
            "'h.jsonl' line 2: the name \"a\\x00b\" holds a NUL character; rename it");
}

TEST_F(FileSourceTest, EmptyAndHeaderOnlyFiles) {
  write("empty.csv", "");
  write("head.csv", "a,b\n");
  Read got = read(R"({"path": "*.csv"})", "empty");
  EXPECT_FALSE(got.error);
  EXPECT_EQ(got.types, "");
  EXPECT_EQ(got.announced, 0);
  got = read(R"({"path": "*.csv"})", "head");
  EXPECT_FALSE(got.error);
  EXPECT_EQ(got.types, "a:null b:null");
  EXPECT_TRUE(got.rows.empty());
}

TEST_F(FileSourceTest, AHeaderOfOneColumnThatHoldsAnotherDelimiterIsPointedAt) {
  struct Case {
    std::string header, config, names;  // of the delimiter; empty: no warning
  };
  const Case cases[] = {{"id;v", "", "\";\""},    {"id|v", "", "\"|\""},
                        {"id\tv", "", "\"\\t\""}, {"id;v,w", "", ""},
                        {"id v", "", ""},         {"id|v", R"(, "delimiter": ",")", ""}};
  for (const Case& c : cases) {
    write("one.csv", c.header + "\n1\n");
    const auto found = (*source(R"({"path": "one.csv")" + c.config + "}"))->discover({});
    ASSERT_TRUE(found) << found.error().message;
    const auto& warnings = found->entities.at(0).warnings;
    ASSERT_EQ(warnings.size(), c.names.empty() ? 0U : 1U) << c.header;
    if (!c.names.empty()) {
      EXPECT_NE(warnings[0].find("separated by " + c.names + ", set `delimiter`"),
                std::string::npos)
          << warnings[0];
    }
  }
}

TEST_F(FileSourceTest, GzipOfSeveralMembersAndTabs) {
  write_gzip("x.tsv.gz", "a\tb\n1\t2\n");
  write_gzip("x.tsv.gz", "3\t\"4\n5\"\n", "ab");
  const Read got = read(R"({"path": "x.tsv.gz"})", "x", {"b", "a"});
  EXPECT_FALSE(got.error);
  EXPECT_EQ(got.rows, (Texts{"2|1", "4\n5|3"}));
  std::filesystem::resize_file(folder_ + "/x.tsv.gz", 30);
  const Read cut = read(R"({"path": "x.tsv.gz"})", "x");
  ASSERT_TRUE(cut.error);
  EXPECT_NE(cut.error->message.find("cannot be unpacked"), std::string::npos);
}

// api.md: two files with one stem are an error that names both.
TEST_F(FileSourceTest, TwoFilesWithOneStemAreNamed) {
  write("a/t.csv", "x\n1\n");
  write("b/t.csv", "x\n2\n");
  write("a/u.csv", "x\n3\n");
  const Read got = read(R"({"path": "*/*.csv"})", "t");
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->message.find("'a/t.csv' and 'b/t.csv'"), std::string::npos);
  EXPECT_NE(got.error->message.find("--config"), std::string::npos);
  EXPECT_EQ(read(R"({"path": "*/*.csv"})", "u").rows, (Texts{"3"}));
  const auto checked = (*source(R"({"path": "*/*.csv"})"))->check();
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("b/t.csv"), std::string::npos);
}

TEST_F(FileSourceTest, AFileWhoseNameIsNotUtf8IsRefusedAndTheOthersRead) {
  write("g/b\xff.csv", "id\n1\n");
  write("g/a.csv", "id\n2\n");
  const Read got = read(R"({"path": "g/*.csv"})", "b\\xff");
  ASSERT_TRUE(got.error);
  EXPECT_EQ(error_kind(*got.error), "data");
  EXPECT_NE(got.error->message.find("'g/b\\xff.csv' has a name that is not valid UTF-8; rename it"),
            std::string::npos)
      << got.error->message;
  EXPECT_EQ(read(R"({"path": "g/*.csv"})", "a").rows, (Texts{"2"}));
  EXPECT_EQ(read(R"({"path": "g/*.csv", "entities": {"b": "b*.csv"}})", "b").rows, (Texts{"1"}));
}

TEST_F(FileSourceTest, FilesOfOneEntityShareTheirColumns) {
  write("orders-1.csv", "id,a\n1,2\n");
  write("orders-2.csv", "b,id\nx,2.5\n");
  const Read got = read(R"({"path": "*.csv", "entities": {"orders": "orders-*.csv"}})", "orders");
  EXPECT_EQ(got.types, "id:double a:int64 b:string");
  EXPECT_EQ(got.rows, (Texts{"1|2|∅", "2.5|∅|x"}));
}

TEST_F(FileSourceTest, PathsAndTheirErrors) {
  struct Case {
    const char* path;
    Code code;
    const char* part;
  };
  write("in/t.csv", "x\n1\n");
  write("in/note.md", "x\n1\n");
  write("odd[1].csv", "x\n1\n");
  ASSERT_EQ(mkfifo((folder_ + "/pipe.csv").c_str(), 0600), 0);
  std::filesystem::create_symlink("/etc/passwd", folder_ + "/out.csv");
  std::filesystem::create_symlink("in/t.csv", folder_ + "/link.csv");
  const Case cases[] = {
      {"none.csv", Code::NotFound, "none.csv"},
      {"none/*.csv", Code::NotFound, "none/*.csv"},
      {"/etc/passwd", Code::Forbidden, "paths.roots"},
      {"../x.csv", Code::Forbidden, "leads out"},
      {"out.csv", Code::Forbidden, "symbolic link"},
      {"pipe.csv", Code::Invalid, "not a regular file"},
      {"in/note.md", Code::Invalid, "set `format`"},
  };
  for (const Case& c : cases) {
    const auto checked = (*source(fmt::format(R"({{"path": "{}"}})", c.path)))->check();
    ASSERT_FALSE(checked) << c.path;
    EXPECT_EQ(checked.error().code, c.code) << c.path << ": " << checked.error().message;
    EXPECT_NE(checked.error().message.find(c.part), std::string::npos) << checked.error().message;
  }
  EXPECT_EQ(read(R"({"path": "odd[1].csv"})", "odd[1]").rows, (Texts{"1"}));
  EXPECT_EQ(read(R"({"path": "link.csv"})", "link").rows, (Texts{"1"}));
  EXPECT_EQ(read(R"({"path": "in"})", "t").rows, (Texts{"1"}));
  EXPECT_EQ(read(R"({"path": "in/note.md", "format": "csv"})", "note").rows, (Texts{"1"}));
}

TEST_F(FileSourceTest, EveryWrongSettingIsNamedAtOnce) {
  const auto got = source(R"({"format": "xls", "delimiter": "ab", "quote": "\n", "header": 1,
      "nullValues": "NA", "types": {"a": "int", "b": {"c": 3}}, "entities": {"x": ""}, "colour": 1})");
  ASSERT_FALSE(got);
  Texts fields;
  for (const auto& d : got.error().details) fields.push_back(d.field);
  std::ranges::sort(fields);
  EXPECT_EQ(fields, (Texts{"colour", "delimiter", "entities[\"x\"]", "format", "header",
                           "nullValues", "path", "quote", "types[\"a\"]", "types[\"b\"][\"c\"]"}));
}

// A file that shrinks under the reader is an error, not a crash and not a short table.
TEST_F(FileSourceTest, ATruncatedFileIsNoticed) {
  std::string text = "a\n";
  while (text.size() < (3U << 20)) text += "12345\n";
  write("t.csv", text);
  const auto made = source(R"({"path": "t.csv"})");
  ASSERT_TRUE((*made)->discover({}));
  std::filesystem::resize_file(folder_ + "/t.csv", 1 << 20);
  Read got;
  read_rows(**made, {.entity = "t", .columns = {"a"}}, got);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->code, Code::Unavailable);
}

// The rows that arrive later are the next run's; those read are of the file that was looked at.
TEST_F(FileSourceTest, AFileThatGrowsOrIsReplacedMeanwhileIsReadAsItWas) {
  write("t.csv", "a\n1\n");
  const auto made = source(R"({"path": "t.csv"})");
  ASSERT_TRUE((*made)->discover({}));
  std::ofstream(folder_ + "/t.csv", std::ios::app) << "x\n";
  Read got;
  read_rows(**made, {.entity = "t", .columns = {"a"}}, got);
  EXPECT_EQ(got.rows, (Texts{"1"}));
  write("new.csv", "a\ny\nz\n");
  std::filesystem::rename(folder_ + "/new.csv", folder_ + "/t.csv");
  got = {};
  read_rows(**made, {.entity = "t", .columns = {"a"}}, got);
  EXPECT_EQ(got.rows, (Texts{"1"}));
  const auto again = (*made)->discover({});
  EXPECT_EQ(again->entities[0].rows, 2);
}

// Symptom: the API's discover read every matched file to its end.
TEST_F(FileSourceTest, ASampleReadsTheBeginningsOfFilesOnly) {
  std::string rows = "a,b\n";
  std::string lines;
  while (rows.size() < (3U << 20)) rows += "12345,x\n";
  while (lines.size() < (3U << 20)) lines += "{\"a\": 1, \"b\": \"some text\"}\n";
  write("long.csv", rows + "text,y\n");
  write_gzip("zip.csv.gz", rows + "text,y\n");
  write("lines.jsonl", lines + "{\"a\": \"text\", \"b\": \"y\"}\n");
  write("short.csv", "a,b\n1,x\n");
  write("bad.csv", "a,a\n1,2\n");
  for (int i = 0; i < 5; ++i) write(fmt::format("many-{}.csv", i), fmt::format("c{}\n1\n", i));
  const auto made = source(R"({"path": ".", "entities": {"many": "many-*.csv"}})");
  const auto sampled = (*made)->sample();
  ASSERT_TRUE(sampled) << sampled.error().message;
  ASSERT_EQ(sampled->bad.size(), 1U);
  EXPECT_EQ(sampled->bad[0].name, "bad");
  std::string seen;
  for (const auto& e : sampled->entities) {
    seen += e.name + ":";
    for (const auto& f : e.schema->fields()) seen += f->name() + " " + f->type()->ToString() + ",";
    seen += e.rows ? fmt::format("{};", *e.rows) : "guessed;";
    EXPECT_EQ(e.warnings.empty(), e.rows.has_value()) << e.name;
  }
  EXPECT_EQ(seen,
            "lines:a int64,b string,guessed;long:a int64,b string,guessed;"
            "many:c0 int64,c1 int64,c2 int64,guessed;short:a int64,b string,1;"
            "zip:a int64,b string,guessed;");
  // A read after it does not go by the guess.
  Read got;
  read_rows(**made, {.entity = "long", .columns = {"a"}}, got);
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.bad, Texts{});
  EXPECT_EQ(got.rows.back(), "text");
}

TEST_F(FileSourceTest, ASampleOnlyNamesWhatIsBeyondItsNumberOfEntities) {
  for (int i = 0; i < 203; ++i) write(fmt::format("f{:03}.csv", i), "a\n1\n");
  const auto sampled = (*source(R"({"path": "*.csv"})"))->sample();
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->entities.size(), 200U);
  EXPECT_EQ(sampled->others, (Texts{"f200", "f201", "f202"}));
}

TEST_F(FileSourceTest, AWhereIsRefused) {
  write("t.csv", "a\n1\n");
  const auto made = source(R"({"path": "t.csv"})");
  const auto planned = (*made)->plan({.entity = "t", .columns = {"a"}, .where = {"a > 1"}});
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().code, Code::Unsupported);
}

// Random tables of typed values, written by a plain writer, come back equal.
TEST_F(FileSourceTest, RandomTypedTablesComeBackEqual) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    std::string text = "i,f,t,s\n";
    Texts rows;
    for (int r = 0; r < 400; ++r) {
      const auto i =
          static_cast<std::int64_t>(random() >> (1 + random() % 63)) * (random() % 2 == 0 ? 1 : -1);
      const double f =
          static_cast<double>(1 + 2 * static_cast<std::int64_t>(random() % 1'000'000)) / 64;
      const std::string t =
          fmt::format("20{:02}-{:02}-{:02}T{:02}:00:00.{:06}Z", random() % 100, 1 + random() % 12,
                      1 + random() % 28, random() % 24, 1 + random() % 999'999);
      const std::string s = fmt::format("{}\"\n,{}", random() % 7, random() % 9);
      std::string quoted = s;
      quoted.replace(quoted.find('"'), 1, "\"\"");
      const bool null = random() % 9 == 0;
      text += null ? ",,,\n" : fmt::format("{},{:.6f},{},\"{}\"\n", i, f, t, quoted);
      rows.push_back(null ? "∅|∅|∅|∅" : fmt::format("{}|{}|{}|{}", i, f, t, s));
    }
    write("t.csv", text);
    const Read got = read(R"({"path": "t.csv"})", "t");
    ASSERT_EQ(got.types, "i:int64 f:double t:timestamp[us, tz=UTC] s:string");
    ASSERT_EQ(got.rows, rows);
  }
}

}  // namespace
}  // namespace tidegate::engine::file
