#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "control/archive/backup.h"
#include "control/archive/file.h"
#include "control/archive/restore.h"
#include "control/store/memory/memory_store.h"
#include "control/store/rules.h"

namespace tidegate::archive {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;

class FixedClock final : public Clock {
 public:
  Instant now() const override { return wall; }
  BootInstant boot_now() const override { return BootInstant(Millis(to_ms(wall))); }
  Instant wall = from_ms(1'767'225'600'000);  // 2026-01-01T00:00:00Z
};

const Progress kSilent = [](std::int64_t) { return Status(); };

class ArchiveTest : public testing::Test {
 protected:
  ArchiveTest() {
    std::string pattern = (fs::temp_directory_path() / "tidegate-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/b.tgb";
    source_ = store::make_memory_store(clock_);
    const WorkspaceId ws{std::string(store::rules::kDefaultWorkspaceId)};
    for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
      model::Connection c;
      c.id = ConnectionId(kind == model::ConnectionKind::Source ? "s" : "d");
      c.workspace = ws;
      c.kind = kind;
      c.name = "üñ \xff";  // what no database should have given
      must(source_->create_connection(c, {}));
    }
    for (int i = 0; i < 300; ++i) {
      model::SyncJob job;
      job.id = JobId("j" + std::to_string(i));
      job.workspace = ws;
      job.spec.name = job.id.str();
      job.spec.source_id = ConnectionId("s");
      job.spec.destination_id = ConnectionId("d");
      job.spec.schedule = model::EverySchedule{.every = Millis(60'000), .anchor = std::nullopt};
      job.next_slot = clock_.wall;
      must(source_->create_job(job, {}));
    }
  }
  ~ArchiveTest() override { fs::remove_all(folder_); }

  template <class T>
  static T must(Result<T> r) {
    if (!r) throw std::runtime_error(describe(r.error()));
    if constexpr (!std::is_void_v<T>) return std::move(*r);
  }
  BackupReport back_up() { return must(backup(*source_, clock_, {.path = path_}, kSilent)); }
  Result<RestoreReport> restore_into(store::Store& store, const Progress& progress = kSilent) {
    TG_TRY(auto checked, check_backup(path_, keys_));
    return restore(store, checked, progress);
  }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void put(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  // The unpacked lines, and a file of such lines.
  std::string lines() const {
    gzFile file = gzopen(path_.c_str(), "rb");
    std::string text(1 << 22, '\0');
    text.resize(static_cast<std::size_t>(gzread(file, text.data(), 1 << 22)));
    gzclose(file);
    return text;
  }
  void put_lines(const std::string& text) const {
    gzFile file = gzopen(path_.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  }
  // Refused, and the store is as it was.
  Error refused() {
    const auto store = store::make_memory_store(clock_);
    const auto result = restore_into(*store);
    EXPECT_FALSE(result);
    EXPECT_THAT(must(store->list_workspaces()), SizeIs(1));
    EXPECT_EQ(must(store->list_jobs({})).total, 0);
    return result ? Error{} : result.error();
  }

  FixedClock clock_;
  std::string folder_, path_;
  std::unique_ptr<store::Store> source_;
  secrets::KeyRing keys_ = must(secrets::KeyRing::from_text(std::string(64, 'a')));
};

TEST_F(ArchiveTest, AFileIsWholePrivateAndNotWrittenOver) {
  const auto report = back_up();
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_EQ(info.st_size, report.bytes);
  EXPECT_EQ(report.trailer.records.at("job"), 300);
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
  const std::string first = content();
  const auto again = backup(*source_, clock_, {.path = path_}, kSilent);
  EXPECT_EQ(again.error().reason, "file_exists");
  EXPECT_EQ(traits(again.error().code).exit_code, 2);
  EXPECT_EQ(content(), first);
  must(source_->delete_job({}, JobId("j1"), {}));
  EXPECT_TRUE(backup(*source_, clock_, {.path = path_, .replace = true}, kSilent));
  EXPECT_NE(content(), first);
}

TEST_F(ArchiveTest, AnInterruptedBackupLeavesNothing) {
  const auto stopped = backup(*source_, clock_, {.path = path_}, [](std::int64_t records) {
    return records > 100 ? fail(Code::Cancelled, "stopped") : Status();
  });
  EXPECT_EQ(stopped.error().code, Code::Cancelled);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
}

// Seen here: a nightly backup of a store that was half restored, with --force, took the place of
// the good file.
TEST_F(ArchiveTest, AHalfRestoredStoreIsNotBackedUp) {
  back_up();
  const std::string good = content();
  const auto store = store::make_memory_store(clock_);
  must(store->begin_restore("a1"));
  const auto refused = backup(*store, clock_, {.path = path_, .replace = true}, kSilent);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "restore_unfinished");
  EXPECT_EQ(traits(refused.error().code).exit_code, 2);
  EXPECT_THAT(refused.error().message, HasSubstr("repeat the same `tidegate restore`"));
  EXPECT_EQ(content(), good);
}

TEST_F(ArchiveTest, TwoBackupsDoNotMixInOneFile) {
  auto first = must(FileWriter::create(path_, false));
  EXPECT_EQ(FileWriter::create(path_, false).error().reason, "backup_running");
  // Somebody else's file that came meanwhile stays.
  put("precious");
  must(first.close());
  EXPECT_EQ(first.publish().error().reason, "file_exists");
  EXPECT_EQ(content(), "precious");
}

TEST_F(ArchiveTest, ARestoreFillsAnEmptyStore) {
  back_up();
  clock_.wall += 10min;
  const auto store = store::make_memory_store(clock_);
  const auto report = must(restore_into(*store));
  EXPECT_EQ(report.paused_jobs, 300);
  EXPECT_EQ(report.missed_slots, 300 * 11);
  EXPECT_EQ(report.at, clock_.wall);
  EXPECT_EQ(must(store->list_jobs({})).total, 300);
  const auto slots = must(store->list_slots({.job = JobId("j7")}));
  ASSERT_EQ(slots.total, 1);
  EXPECT_EQ(slots.items[0].outcome, "missed_restored");
  EXPECT_EQ(slots.items[0].count, 11);
  EXPECT_TRUE(must(store->get_job({}, JobId("j7"))).pause);
  const auto not_empty = restore_into(*store);
  EXPECT_EQ(not_empty.error().reason, "store_not_empty");
  EXPECT_EQ(traits(not_empty.error().code).exit_code, 2);
}

TEST_F(ArchiveTest, AnInterruptedRestoreIsCompletedByRepeatingIt) {
  back_up();
  clock_.wall += 10min;
  const auto store = store::make_memory_store(clock_);
  const auto stopped = restore_into(*store, [](std::int64_t records) {
    return records > 0 ? fail(Code::Cancelled, "stopped") : Status();
  });
  EXPECT_EQ(stopped.error().code, Code::Cancelled);
  EXPECT_FALSE(must(store->acquire_leader(OwnerId("server"), Millis(8000))));
  clock_.wall += 10min;
  const auto report = must(restore_into(*store));
  EXPECT_EQ(report.at, clock_.wall - 10min) << "no slot lies between two halves";
  EXPECT_EQ(must(store->list_jobs({})).total, 300);
  EXPECT_EQ(must(store->list_slots({.job = JobId("j7")})).items.at(0).count, 11);
  EXPECT_EQ(must(store->list_slots({.job = JobId("j299")})).items.at(0).count, 11);
  EXPECT_TRUE(must(store->acquire_leader(OwnerId("server"), Millis(8000))));
}

TEST_F(ArchiveTest, AStoreWithAServerIsNotFilled) {
  back_up();
  const auto store = store::make_memory_store(clock_);
  must(store->heartbeat({.id = OwnerId("w"), .host = "alpha", .pid = 7}));
  const auto refused = restore_into(*store);
  EXPECT_EQ(refused.error().reason, "store_in_use");
  EXPECT_THAT(refused.error().details.at(0).message, HasSubstr("alpha"));
}

// A backup that was cut by a full disk was restored in part by others without a word.
TEST_F(ArchiveTest, ATruncatedFileIsRefusedWhereverItEnds) {
  back_up();
  const std::string whole = content();
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{200}, whole.size() / 2,
                                 whole.size() - 9, whole.size() - 1}) {
    put(whole.substr(0, size));
    EXPECT_EQ(refused().code, Code::Malformed) << size;
  }
  // Also when what is packed is whole.
  put(whole);
  const std::string text = lines();
  for (const double part : {0.1, 0.5, 0.9}) {
    const auto end = text.find('\n', static_cast<std::size_t>(part * double(text.size())));
    put_lines(text.substr(0, end + 1));
    const Error error = refused();
    EXPECT_EQ(error.reason, "backup_damaged") << part;
    EXPECT_THAT(error.message, HasSubstr("its end is missing")) << part;
  }
}

TEST_F(ArchiveTest, AnAlteredFileIsRefused) {
  back_up();
  const std::string packed = content(), text = lines();
  for (std::size_t at = 20; at < packed.size(); at += packed.size() / 7) {
    std::string altered = packed;
    altered[at] = static_cast<char>(altered[at] ^ 0x10);
    put(altered);
    EXPECT_EQ(refused().code, Code::Malformed) << at;
  }
  // With a right packing, too.
  std::string altered = text;
  altered.replace(altered.find("\"enabled\""), 9, "\"enablex\"");
  EXPECT_NE(altered, text);
  put_lines(altered);
  EXPECT_THAT(refused().message, HasSubstr("checksum"));
  const auto second = text.find('\n') + 1;
  put_lines(text.substr(0, second) + text.substr(text.find('\n', second) + 1));
  EXPECT_EQ(refused().reason, "backup_damaged") << "a line less";
  put_lines(text + text);
  EXPECT_THAT(refused().message, HasSubstr("lines follow"));
}

TEST_F(ArchiveTest, WhatIsNoBackupIsCalledSo) {
  for (const std::string text : {"", "{}", "id,name\n1,x\n", "{\"format\":\"other\"}\n"}) {
    put(text);
    EXPECT_EQ(refused().reason, "not_a_backup") << text;
    put_lines(text);
    EXPECT_EQ(refused().reason, "not_a_backup") << text;
  }
  put_lines(R"({"format":"tidegate-backup","version":2,"tidegate":"9.1"})"
            "\n");
  const Error newer = refused();
  EXPECT_EQ(newer.reason, "backup_too_new");
  EXPECT_THAT(newer.message, HasSubstr("tidegate 9.1"));
  fs::remove(path_);
  EXPECT_EQ(refused().code, Code::NotFound);
  path_ = folder_;
  EXPECT_EQ(refused().code, Code::Invalid);
}

}  // namespace
}  // namespace tidegate::archive
