// Files that others write to while they are read.

#include <unistd.h>

#include "engine/connectors/file/last_line.h"
#include "engine/connectors/file/source_fixture.h"

namespace tidegate::engine::file {
namespace {

using Texts = std::vector<std::string>;

class MovingFilesTest : public FileSourceTest {
 protected:
  std::unique_ptr<Source> looked_at(const std::string& config) {
    auto made = source(config);
    EXPECT_TRUE((*made)->discover({}));
    return std::move(*made);
  }
  // In place: the same file, with other bytes.
  void rewrite(const std::string& name, const std::string& text) {
    std::fstream file(folder_ + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file << text;
  }
  void append(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name, std::ios::app | std::ios::binary) << text;
  }
  void write_later(const std::string& name, int seconds) {
    const auto path = folder_ + "/" + name;
    std::filesystem::last_write_time(
        path, std::filesystem::last_write_time(path) + std::chrono::seconds(seconds));
  }
  Read rows_of(Source& source, const std::string& entity, const Texts& columns) {
    Read got;
    read_rows(source, {.entity = entity, .columns = columns}, got);
    return got;
  }
};

void expect_written_to(const Read& got) {
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->code, Code::Unavailable);
  EXPECT_NE(got.error->message.find("was written to while it was read"), std::string::npos)
      << got.error->message;
}

// Seen here: a file that was rewritten in place, with the same size, while it was read was
// committed half old and half new, with exit 0.
TEST_F(MovingFilesTest, ARewriteOfTheSameSizeIsNoticed) {
  std::string middle;
  while (middle.size() < 64U << 10) middle += "11111\n";
  write("t.csv", "a\n" + middle + "22222\n");
  const auto made = looked_at(R"({"path": "t.csv"})");
  std::string other = middle;
  other.replace(other.size() / 2 / 6 * 6, 5, "33333");  // neither its first nor its last block
  rewrite("t.csv", "a\n" + other + "22222\n");
  write_later("t.csv", 1);
  expect_written_to(rows_of(*made, "t", {"a"}));
}

// The time that a file was written may be set back, or be too coarse to show it.
TEST_F(MovingFilesTest, ARewriteWithTheOldTimeIsNoticedByItsEnds) {
  write("t.csv", "a\n1\n2\n");
  const auto time = std::filesystem::last_write_time(folder_ + "/t.csv");
  const auto made = looked_at(R"({"path": "t.csv"})");
  rewrite("t.csv", "a\n1\n3\n");
  std::filesystem::last_write_time(folder_ + "/t.csv", time);
  expect_written_to(rows_of(*made, "t", {"a"}));
}

TEST_F(MovingFilesTest, ALongerRewriteIsNoAppend) {
  write("t.csv", "a\n1\n2\n");
  const auto made = looked_at(R"({"path": "t.csv"})");
  rewrite("t.csv", "a\n1\n3\n4\n");
  expect_written_to(rows_of(*made, "t", {"a"}));
}

TEST_F(MovingFilesTest, AppendsRenamesAndRightsAreNoChange) {
  write("t.csv", "a\n1\n");
  const auto made = looked_at(R"({"path": "t.csv"})");
  append("t.csv", "2\n3");
  std::filesystem::permissions(folder_ + "/t.csv", std::filesystem::perms::owner_read);
  std::filesystem::rename(folder_ + "/t.csv", folder_ + "/old.csv");
  const Read got = rows_of(*made, "t", {"a"});
  EXPECT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.rows, (Texts{"1"}));
}

// Seen by a test: a Parquet file that was written anew between look and read.
TEST_F(MovingFilesTest, AParquetFileIsNeverAppendedTo) {
  const auto out = [&](const std::string& text) { write("p.parquet", text); };
  out("PAR1");
  auto file = InputFile::open(paths_, "p.parquet");
  ASSERT_TRUE(file);
  (*file)->refuse_growth();
  append("p.parquet", "more");
  EXPECT_EQ((*file)->unchanged().error().code, Code::Unavailable);
}

// A clock for which the files were written just now; `each` is called whenever it is asked.
class YoungClock final : public Clock {
 public:
  explicit YoungClock(std::function<Millis()> each) : each_(std::move(each)) {}
  Instant now() const override { return SystemClock().now() - Seconds(60) + each_(); }
  BootInstant boot_now() const override { return SystemClock().boot_now(); }

 private:
  std::function<Millis()> each_;
};

// Seen here: `1,12` without a line end was appended, then the file grew to `1,1234`, and both rows
// stayed in the table.
TEST_F(MovingFilesTest, ALastLineThatIsStillBeingWrittenWaitsForTheNextRun) {
  for (const bool json : {false, true}) {
    const std::string name = json ? "t.jsonl" : "t.csv";
    write(name, json ? "{\"a\": 1}\n{\"a\": 12" : "a\n1\n12");
    int asked = 0;
    const YoungClock clock([&] {
      if (++asked == 1) append(name, json ? "34}\n" : "34\n");
      return Millis(0);
    });
    const Context context{.clock = clock, .rng = rng_, .paths = paths_, .stop = {}};
    const auto config = boost::json::object{{"path", name}};
    const auto made = file_connector().make_source(config, context);
    const auto found = (*made)->discover({});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->entities.at(0).rows, 1) << name;
    EXPECT_EQ(rows_of(**made, "t", {"a"}).rows, (Texts{"1"})) << name;
    EXPECT_EQ(read(R"({"path": ")" + name + "\"}", "t").rows, (Texts{"1", "1234"}));
  }
}

TEST_F(MovingFilesTest, ALastLineWithoutAnEndIsWholeWhenNobodyWritesMore) {
  write("t.csv", "a\n1\n12");
  int asked = 0;
  const YoungClock clock([&] { return Seconds(++asked * 30); });  // old at the third look
  const Context context{.clock = clock, .rng = rng_, .paths = paths_, .stop = {}};
  const auto made = file_connector().make_source({{"path", "t.csv"}}, context);
  ASSERT_TRUE((*made)->discover({}));
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(rows_of(**made, "t", {"a"}).rows, (Texts{"1", "12"}));
  // It was taken for whole, and was not.
  append("t.csv", "34\n");
  expect_written_to(rows_of(**made, "t", {"a"}));
}

TEST_F(MovingFilesTest, WaitingForALineEndIsStoppedAndASampleDoesNotWait) {
  write("t.csv", "a\n1\n12");
  std::stop_source stop;
  const YoungClock clock([&] {
    stop.request_stop();
    return Millis(0);
  });
  const Context context{.clock = clock, .rng = rng_, .paths = paths_, .stop = stop.get_token()};
  const auto made = file_connector().make_source({{"path", "t.csv"}}, context);
  ASSERT_TRUE((*made)->sample());
  EXPECT_FALSE(stop.stop_requested());
  const auto found = (*made)->discover({});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::Cancelled);
}

}  // namespace
}  // namespace tidegate::engine::file
