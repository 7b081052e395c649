// What lies where DuckDB would put its files, and what its errors mean.

#include "engine/connectors/duckdb/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "engine/connectors/duckdb/duckdb_fixture.h"
#include "engine/connectors/duckdb/instance.h"

namespace {
int synced_folders = 0;
bool folders_fail = false;
}  // namespace

// In place of the C library's: what a power cut would leave shows nowhere else.
extern "C" int fsync(int fd) {
  struct stat is{};
  if (fstat(fd, &is) == 0 && S_ISDIR(is.st_mode)) {
    ++synced_folders;
    if (folders_fail) {
      errno = EIO;
      return -1;
    }
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace tidegate::engine {
namespace {

namespace fs = std::filesystem;
using duckdb::ErrorType;

class DuckdbFile : public Duckdb {
 protected:
  Result<std::unique_ptr<duckdb::Db>> open(duckdb::Open how = duckdb::Open::Write) {
    return duckdb::Db::open(out(), how, Millis(0), context_);
  }
  Texts names() const {
    Texts all;
    for (const auto& entry : fs::directory_iterator(bench_.folder))
      all.push_back(entry.path().filename());
    std::ranges::sort(all);
    return all;
  }
};

// Symptom: "is not a DuckDB database" for ever, after a creation that was killed or had no space.
TEST_F(DuckdbFile, AnEmptyFileIsMadeADatabase) {
  std::ofstream{out()};
  sql(in(), {"CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (7)"});
  ASSERT_TRUE(bench_.destination()->check());
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM t"), Texts{"7"});
}

TEST_F(DuckdbFile, TheLogOfAFileThatIsGoneIsNotReadIntoANewOne) {
  const std::string log = out() + ".wal";
  {
    const auto db = open();
    ASSERT_TRUE(db);
    ASSERT_TRUE((*db)->exec("CREATE TABLE t (id INTEGER)"));
    fs::copy_file(log, log + ".kept");
  }
  fs::remove(out());
  fs::rename(log + ".kept", log);
  EXPECT_EQ(look("SELECT count(*) FROM duckdb_tables()"), Texts{"0"});
}

TEST_F(DuckdbFile, ACreationWithoutSpaceLeavesNothing) {
  ASSERT_TRUE(duckdb::Db::scratch(context_));  // the library is loaded
  const Texts before = names();
  const auto signaled = signal(SIGXFSZ, SIG_IGN);
  rlimit was{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
  for (const rlim_t size : {0, 4096}) {
    const rlimit little{.rlim_cur = size, .rlim_max = was.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
    const auto opened = open();
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::Unavailable) << describe(opened.error());
    EXPECT_EQ(names(), before);
  }
  signal(SIGXFSZ, signaled);
  EXPECT_TRUE(open());
}

TEST_F(DuckdbFile, ANewFileAndANewLogAreSyncedIntoTheirFolder) {
  const int before = synced_folders;
  folders_fail = true;
  const auto unsynced = open();
  folders_fail = false;
  ASSERT_FALSE(unsynced);
  EXPECT_EQ(unsynced.error().code, Code::Unavailable);
  EXPECT_EQ(synced_folders, before + 1);
  const auto db = open();
  ASSERT_TRUE(db) << describe(db.error());
  for (const bool fails : {true, false}) {
    ASSERT_TRUE((*db)->exec("BEGIN TRANSACTION"));
    ASSERT_TRUE((*db)->exec("CREATE OR REPLACE TABLE t (id INTEGER)"));
    folders_fail = fails;
    const Status done = (*db)->commit();
    folders_fail = false;
    EXPECT_EQ(static_cast<bool>(done), !fails);
  }
  EXPECT_EQ(synced_folders, before + 3);
}

TEST_F(DuckdbFile, PlacesThatLeadElsewhereAreRefusedByName) {
  sql(out(), {"CREATE TABLE t (id INTEGER)"});
  const std::string elsewhere = bench_.folder + "/elsewhere";
  std::ofstream(elsewhere) << "secret";
  fs::create_directory(bench_.folder + "/folder");
  for (const auto& [place, target] : std::vector<std::pair<std::string, std::string>>{
           {".wal", elsewhere},
           {".wal.checkpoint", elsewhere},
           {".wal.recovery", bench_.folder + "/not-there"},
           {".tmp", bench_.folder + "/folder"}}) {
    fs::create_symlink(target, out() + place);
    for (const auto how : {duckdb::Open::ReadOnly, duckdb::Open::Write}) {
      const auto opened = open(how);
      ASSERT_FALSE(opened) << place;
      EXPECT_EQ(opened.error().code, Code::Forbidden);
      EXPECT_NE(opened.error().message.find("'" + out() + place + "'"), std::string::npos)
          << opened.error().message;
    }
    fs::remove(out() + place);
  }
  std::ofstream{out() + ".tmp"};
  EXPECT_FALSE(open());
  fs::remove(out() + ".tmp");
  fs::create_directory(out() + ".tmp");
  EXPECT_TRUE(open());
  fs::rename(out(), elsewhere);
  fs::create_symlink(elsewhere, out());
  EXPECT_FALSE(open());
}

TEST_F(DuckdbFile, ALibraryThatRefusesASettingIsNotUsed) {
  const auto api = duckdb::api();
  ASSERT_TRUE(api);
  ASSERT_TRUE(duckdb::scratch_instance());
  duckdb::Api other = **api;
  other.set_config = [](duckdb::Config, const char* name, const char*) {
    return std::string_view(name) == "enable_external_access" ? 1 : 0;
  };
  const auto config = duckdb::make_config(other, duckdb::Open::Write);
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("enable_external_access"), std::string::npos);
}

// Symptom: a row that holds the words decided what its error was.
TEST_F(DuckdbFile, WordsCountOnlyWhereNoRowCanHoldThem) {
  struct Case {
    ErrorType type;
    const char* message;
    Code code;
    const char* reason;
  };
  constexpr ErrorType kNone{};
  for (const Case& c : {
           Case{ErrorType::Conversion,
                "Conversion Error: Could not convert string 'Permission denied' to INT32",
                Code::Invalid, ""},
           {ErrorType::Constraint, "Constraint Error: \"No space left\"", Code::Invalid, ""},
           {kNone, "Binder Error: 'IO Error: Could not set lock on file'", Code::Invalid, ""},
           {ErrorType::Io, "IO Error: x: Permission denied", Code::Forbidden, ""},
           {kNone, "IO Error: x: No space left on device", Code::Unavailable, ""},
           {kNone, "IO Error: Could not set lock on file \"x\"", Code::Unavailable, "file_in_use"},
           {kNone, "Out of Memory Error: failed to allocate data of size 512.0 MiB", Code::Invalid,
            "data"},
           {ErrorType::OutOfMemory, "Out of Memory Error: could not allocate 'No space left'",
            Code::Invalid, "data"},
           {ErrorType::OutOfMemory, "Out of Memory Error: failed to offload data block",
            Code::Unavailable, ""},
           {ErrorType::Transaction,
            "TransactionContext Error: Failed to commit: duplicate key \"Permission denied\"",
            Code::Unavailable, ""},
           {ErrorType::Transaction,
            "TransactionContext Error: Failed to commit: Could not write file \"f.wal\": "
            "Permission "
            "denied",
            Code::Forbidden, ""},
       }) {
    const Error e = duckdb::error_of("f", static_cast<int>(c.type), c.message);
    EXPECT_EQ(e.code, c.code) << c.message;
    EXPECT_EQ(e.reason, std::string_view(c.reason) == "data" ? data_error("").reason : c.reason)
        << c.message;
  }
}

}  // namespace
}  // namespace tidegate::engine
