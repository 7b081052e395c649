#include "engine/connectors/file/csv_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tidegate::engine::file {
namespace {

using Row = std::vector<std::string>;

struct Scanned {
  std::vector<Row> rows;
  std::vector<std::int64_t> lines;
  std::vector<std::pair<std::int64_t, std::string>> bad;
  std::optional<Error> error;
};

// Gives at most `piece` bytes a read, so that every place becomes a border once.
class Pieces final : public ByteStream {
 public:
  Pieces(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
  Result<std::size_t> read(std::span<char> out) override {
    const std::size_t n = std::min({out.size(), piece_, text_.size() - at_});
    std::copy_n(text_.data() + at_, n, out.data());
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t piece_, at_ = 0;
};

Scanned scan(const std::string& text, std::size_t columns = 0, CsvDialect dialect = {},
             std::size_t max_rows = SIZE_MAX) {
  Scanned out;
  CsvScanner scanner(std::make_unique<Pieces>(text, 7), dialect, columns);
  CsvRows rows;
  for (;;) {
    const auto more = scanner.next(rows, max_rows);
    if (!more) out.error = more.error();
    if (!more || !*more) break;
    for (std::size_t r = 0; r < rows.count; ++r) {
      Row row;
      for (std::size_t c = 0; c < rows.columns; ++c) {
        const CsvField& f = rows.field(r, c);
        row.push_back(f.bits == 0 ? "NULL" : rows.value(f, dialect.quote));
      }
      out.rows.push_back(std::move(row));
      out.lines.push_back(rows.lines[r]);
    }
    for (const CsvBadRow& b : rows.bad) out.bad.emplace_back(b.line, b.reason);
  }
  return out;
}

TEST(CsvScanner, Dialects) {
  struct Case {
    const char* name;
    std::string text;
    std::vector<Row> rows;
    std::vector<std::int64_t> bad_lines;
    CsvDialect dialect = {};
  };
  using std::string_literals::operator""s;
  const Case cases[] = {
      {"plain", "a,b\n1,2\n", {{"a", "b"}, {"1", "2"}}, {}},
      {"no last line end", "a,b\n1,2", {{"a", "b"}, {"1", "2"}}, {}},
      {"CRLF", "a,b\r\n1,2\r\n", {{"a", "b"}, {"1", "2"}}, {}},
      {"CRLF after a quote", "a,b\r\n1,\"2\"\r\n", {{"a", "b"}, {"1", "2"}}, {}},
      {"CR at the very end", "a,\"b\"\r", {{"a", "b"}}, {}},
      {"CR inside a field", "a,b\nx\ry,2\n", {{"a", "b"}, {"x\ry", "2"}}, {}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "a,b\n1,2\n",
       {{"a", "b"}, {"1", "2"}},
       {}},
      {"NULL and empty text", "a,b\n,\"\"\n", {{"a", "b"}, {"NULL", ""}}, {}},
      {"line end in quotes", "a,b\n\"x\ny\",2\n", {{"a", "b"}, {"x\ny", "2"}}, {}},
      {"CRLF in quotes", "a,b\n\"x\r\ny\",2\n", {{"a", "b"}, {"x\r\ny", "2"}}, {}},
      {"doubled quotes", "a,b\n\"x\"\"y\",\"\"\"\"\n", {{"a", "b"}, {"x\"y", "\""}}, {}},
      {"delimiter in quotes", "a,b\n\"x,y\",2\n", {{"a", "b"}, {"x,y", "2"}}, {}},
      {"quote inside a field", "a,b\n24\" screen,2\n", {{"a", "b"}, {"24\" screen", "2"}}, {}},
      {"blank lines", "\n\na,b\n\n1,2\n\r\n", {{"a", "b"}, {"1", "2"}}, {}},
      {"one column: an empty line is NULL", "a\n1\n\n2\n", {{"a"}, {"1"}, {"NULL"}, {"2"}}, {}},
      {"too few", "a,b\n1\n3,4\n", {{"a", "b"}, {"3", "4"}}, {2}},
      {"too many", "a,b\n1,2,3\n3,4\n", {{"a", "b"}, {"3", "4"}}, {2}},
      {"NUL in quotes", "a,b\n1,\"x\0y\"\n3,4\n"s, {{"a", "b"}, {"1", "x\0y"s}, {"3", "4"}}, {}},
      {"NUL", "a,b\n1,x\0y\n3,4\n"s, {{"a", "b"}, {"3", "4"}}, {2}},
      {"bad UTF-8", "a,b\n1,x\xFFy\n3,\xC3\xA4\n", {{"a", "b"}, {"3", "\xC3\xA4"}}, {2}},
      {"cut UTF-8", "a,b\n1,\xC3\n3,4\n", {{"a", "b"}, {"3", "4"}}, {2}},
      {"text after a quote", "a,b\n\"1\"x,2\n3,4\n", {{"a", "b"}, {"3", "4"}}, {2}},
      {"quote after a quote", "a,b\n\"1\"x\"y\",2\n3,4\n", {{"a", "b"}, {"3", "4"}}, {2}},
      {"never closed", "a,b\n1,\"x\n3,4\n5,6\n", {{"a", "b"}, {"3", "4"}, {"5", "6"}}, {2}},
      {"closed by another's quote",
       "a,b\n1,\"x\n3,4\n5,\"y\"\n7,8\n",
       {{"a", "b"}, {"3", "4"}, {"5", "y"}, {"7", "8"}},
       {2}},
      {"semicolon and apostrophe",
       "a;b\n'x;''y';2\n",
       {{"a", "b"}, {"x;'y", "2"}},
       {},
       {';', '\''}},
      {"no quotes", "a,b\n\"x,2\n", {{"a", "b"}, {"\"x", "2"}}, {}, {',', '\0'}},
      {"empty", "", {}, {}},
      {"only a byte order mark", "\xEF\xBB\xBF", {}, {}},
      {"only line ends", "\n\r\n\n", {}, {}},
  };
  for (const Case& c : cases) {
    for (const std::size_t max_rows : {SIZE_MAX, std::size_t{1}}) {
      SCOPED_TRACE(c.name);
      const Scanned got = scan(c.text, 0, c.dialect, max_rows);
      EXPECT_FALSE(got.error);
      EXPECT_EQ(got.rows, c.rows);
      std::vector<std::int64_t> lines;
      for (const auto& b : got.bad) lines.push_back(b.first);
      EXPECT_EQ(lines, c.bad_lines);
    }
  }
}

TEST(CsvScanner, LineNumbersCountLinesInsideQuotesAndBadRows) {
  const Scanned got = scan("a,b\n\"x\ny\n\",1\nbad\n\n2,3\n");
  EXPECT_EQ(got.lines, (std::vector<std::int64_t>{1, 2, 7}));
  ASSERT_EQ(got.bad.size(), 1U);
  EXPECT_EQ(got.bad[0].first, 5);
  EXPECT_NE(got.bad[0].second.find("1 field instead of 2"), std::string::npos);
}

TEST(CsvScanner, Utf16IsNamed) {
  const Scanned got = scan(
      "\xFF\xFE"
      "a");
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->message.find("iconv"), std::string::npos);
}

TEST(CsvScanner, ARowLongerThanTheLimitIsRejectedAndTheNextOneIsRead) {
  const std::string huge(CsvScanner::kMaxRow + (1 << 20), 'x');
  Scanned out;
  CsvScanner scanner(stream_text("a,b\n" + huge + ",1\n2,3\n4,\"" + huge + "\n5,6\n"), {});
  CsvRows rows;
  std::vector<std::int64_t> bad, good;
  for (;;) {
    const auto more = scanner.next(rows);
    ASSERT_TRUE(more);
    if (!*more) break;
    for (const auto& b : rows.bad) {
      bad.push_back(b.line);
      EXPECT_LE(b.text.size(), 4096U);
    }
    good.insert(good.end(), rows.lines.begin(), rows.lines.end());
  }
  EXPECT_EQ(bad, (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(good, (std::vector<std::int64_t>{1, 3, 5}));
}

// Seen here: counted as two rejected rows, the second one "line 3: it is longer than 16 MiB".
TEST(CsvScanner, AQuotedFieldLongerThanTheLimitIsOneRejectedRow) {
  const std::string huge((CsvScanner::kMaxRow * 2) + (1 << 20), 'x');
  CsvScanner scanner(stream_text("a,b\n1,\"" + huge + "\"\n5,6\n"), {});
  CsvRows rows;
  std::vector<std::int64_t> bad, good;
  for (;;) {
    const auto more = scanner.next(rows);
    ASSERT_TRUE(more);
    if (!*more) break;
    for (const auto& b : rows.bad) bad.push_back(b.line);
    good.insert(good.end(), rows.lines.begin(), rows.lines.end());
  }
  EXPECT_EQ(bad, (std::vector<std::int64_t>{2}));
  EXPECT_EQ(good, (std::vector<std::int64_t>{1, 3}));
}

TEST(CsvScanner, AHostileFileOfOpenQuotesEnds) {
  std::string text = "a,b\n";
  while (text.size() < (3U << 20)) text += "x\",\"y\n";
  const Scanned got = [&] {
    Scanned out;
    CsvScanner scanner(stream_text(text), {});
    CsvRows rows;
    for (;;) {
      const auto more = scanner.next(rows);
      if (!more) out.error = more.error();
      if (!more || !*more) return out;
    }
  }();
  ASSERT_TRUE(got.error);
  EXPECT_NE(got.error->message.find("`quote`"), std::string::npos);
}

TEST(CsvScanner, PausesWhereARowBegins) {
  const std::string text = "1,2\n3,4\n5,6\n";
  CsvRows rows;
  CsvScanner at_row(stream_text(text), {}, 2);
  at_row.pause_at(8);
  ASSERT_TRUE(at_row.next(rows));
  EXPECT_EQ(rows.count, 2U);
  EXPECT_EQ(at_row.offset(), 8);
  ASSERT_TRUE(at_row.next(rows));
  EXPECT_EQ(rows.count, 1U);

  CsvScanner inside(stream_text("1,2\n3,\"\n\"\n5,6\n"), {}, 2);
  inside.pause_at(8);
  std::size_t count = 0;
  bool seen = false;
  while (*inside.next(rows)) {
    count += rows.count;
    seen = seen || inside.offset() == 8;
  }
  EXPECT_EQ(count, 3U);
  EXPECT_FALSE(seen);
}

// An independent, plain writer and every kind of text; read back equal, whatever the buffer's
// borders.
TEST(CsvScanner, RandomTablesComeBackEqual) {
  std::mt19937_64 random(20261123);
  const std::string alphabet[] = {"a", "1", ",", "\"", "\n", "\r\n", " ", "\xC3\xA4", "", ";"};
  for (int round = 0; round < 300; ++round) {
    const std::size_t columns = 1 + random() % 5, count = random() % 60;
    std::vector<Row> table;
    std::string text;
    for (std::size_t r = 0; r < count + 1; ++r) {
      Row row;
      for (std::size_t c = 0; c < columns; ++c) {
        std::string value;
        const std::size_t size = random() % 9 == 0 ? 200 : random() % 6;
        for (std::size_t i = 0; i < size; ++i) value += alphabet[random() % std::size(alphabet)];
        if (c > 0) text += ',';
        if (random() % 5 == 0 && r > 0) {
          row.push_back("NULL");
          continue;
        }
        row.push_back(value);
        text += '"';
        for (const char ch : value) text += ch == '"' ? "\"\"" : std::string(1, ch);
        text += '"';
      }
      text += random() % 2 == 0 ? "\n" : "\r\n";
      table.push_back(std::move(row));
    }
    const Scanned got = scan(text);
    ASSERT_EQ(got.rows, table) << text;
    ASSERT_TRUE(got.bad.empty());
  }
}

}  // namespace
}  // namespace tidegate::engine::file
