#include "control/store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "control/store/sqlite/keys.h"
#include "control/store/sqlite/schema.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {
namespace {

namespace fs = std::filesystem;

constexpr int kOpenBusyMs = 8000;
constexpr int kSlowReads = 3;  // at once
constexpr int kQuickReads = 3;
constexpr int kOpenTries = 100;  // of 20 ms, where SQLite's own waiting does not apply

std::unexpected<Error> os_error(std::string_view what, const std::string& path, int error) {
  return fail(Code::Internal,
              fmt::format("{} {}: {}; check the path and its owner and permissions", what, path,
                          strerror(error)),
              "store_cannot_open");
}

// 0700 for what is made here; what exists keeps its mode.
Status make_folders(const fs::path& folder) {
  if (folder.empty() || fs::exists(folder)) return {};
  TG_CHECK(make_folders(folder.parent_path()));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return os_error("cannot create the folder", folder.string(), errno);
  }
  return {};
}

// Only when it does not exist: a descriptor opened and closed on a database in use would drop the
// locks this process holds on it. SQLite gives the -wal and -shm files the same mode.
Status create_file(const std::string& path) {
  std::error_code ec;
  TG_CHECK(make_folders(fs::path(path).parent_path()));
  const auto status = fs::status(path, ec);
  if (fs::is_directory(status)) {
    return fail(Code::Invalid, fmt::format("the store {} is a folder; name a file in it", path),
                "store_cannot_open");
  }
  if (fs::exists(status)) return {};
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    if (errno == EEXIST) return {};  // another process was faster
    return os_error("cannot create the store", path, errno);
  }
  close(fd);
  return {};
}

Status use_wal(Db& db) {
  std::string mode;
  for (int i = 0;; ++i) {
    auto done = db.first("PRAGMA journal_mode = WAL", [&](const Row& r) { mode = r.text(0); });
    if (done) break;
    if (done.error().reason != "store_locked" || i >= kOpenTries) return fail(done.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (mode == "wal") return {};
  return fail(Code::Unsupported,
              fmt::format("the file system of {} does not support SQLite's write-ahead log (shared "
                          "memory); use a local disk, or a PostgreSQL or MongoDB store",
                          db.path()),
              "store_no_wal");
}

Status bring_up_to_date(Db& db, const Clock& clock) {
  TG_TRY(const int found, schema_version(db));
  TG_CHECK(check_schema(found, db.path()));
  if (found == newest_schema()) return {};
  TG_CHECK(db.run("BEGIN IMMEDIATE"));
  Status status = migrate(db, clock.now());  // looks again: another process may have been faster
  if (status) status = db.exec("COMMIT");
  if (!status && db.in_transaction()) (void)db.run("ROLLBACK");
  return status;
}

Result<Db> open_writer(const std::string& path, const Clock& clock) {
  TG_CHECK(create_file(path));
  TG_TRY(Db db, Db::open(path, SQLITE_OPEN_READWRITE));
  sqlite3_busy_timeout(db.raw(), kOpenBusyMs);
  if (sqlite3_db_readonly(db.raw(), "main") == 1) {
    return fail(sqlite_error(nullptr, SQLITE_READONLY, path));
  }
  // What it is comes before anything is written to it, the journal mode included.
  TG_TRY(const int found, schema_version(db));
  TG_CHECK(check_schema(found, path));
  TG_CHECK(use_wal(db));
  TG_CHECK(
      db.script("PRAGMA synchronous = FULL; PRAGMA cache_size = -2000; "
                "PRAGMA journal_size_limit = 67108864"));
  TG_CHECK(bring_up_to_date(db, clock));
  return db;
}

// This process, under the boot that the store's leases are kept for.
ProcessIdentity named(const std::string& boot_id) {
  ProcessIdentity self = this_process();
  self.boot_id = boot_id;
  return self;
}

}  // namespace

SqliteStore::SqliteStore(const SqliteOptions& options, const Clock& clock, Db writer,
                         std::unique_ptr<WalIndex> index)
    : options_(options),
      clock_(clock),
      index_(std::move(index)),
      guard_(options.path),
      readers_(options.path, kSlowReads, guard_),
      quick_(options.path, kQuickReads, guard_),
      writer_(std::move(writer), clock,
              LockPatience(options.path, options.boot_id, options.lock_patience, *index_),
              named(options.boot_id), guard_, hub_) {}

SqliteStore::~SqliteStore() {
  poller_.request_stop();
  if (poller_.joinable()) poller_.join();
}

Capabilities SqliteStore::capabilities() const {
  return {.durable = true,
          .shared = true,
          .pushes_changes = true,
          .local_reads = true,
          .name = "sqlite"};
}

Result<std::optional<std::string>> SqliteStore::find_replay(const Idempotency& once) {
  TG_TRY(const Instant at, now());
  return quick_.read([&](Db& db) { return sqlite::find_replay(db, at, once); });
}

Status SqliteStore::ping() {
  TG_CHECK(guard_.check());
  TG_CHECK(writer_.probe());
  return quick_.read([](Db& db) -> Status {
    return db.maybe("SELECT id FROM change_counters", [](const Row&) {});
  });
}

std::unique_ptr<Subscription> SqliteStore::watch(ChangeHandler handler) {
  const std::scoped_lock lock(poller_mutex_);
  if (!poller_.joinable()) {
    poller_ = std::jthread([this](const std::stop_token& stop) { poll_changes(stop); });
  }
  return hub_.subscribe(std::move(handler));
}

namespace {

constexpr auto kRun = static_cast<std::size_t>(ChangeKind::Run);

Result<Counters> read_counters(Db& db) {
  Counters c{};
  TG_CHECK(db.maybe("SELECT job, 0, connection, workspace, token FROM change_counters",
                    [&](const Row& r) {
                      for (std::size_t i = 0; i < c.size(); ++i) c[i] = r.integer(int(i));
                    }));
  return c;
}

}  // namespace

// What others have raised is the counter less what this process has. Runs are not counted: for them
// every commit of another process is a hint.
// False: could not be read; the next look tells.
bool SqliteStore::tell_foreign_changes(Db& db, Counters& foreign) {
  const auto theirs = writer_.between_commits([&](const Counters& own) -> Result<Counters> {
    TG_TRY(Counters counted, read_counters(db));
    for (std::size_t i = 0; i < kChangeKinds; ++i) counted[i] -= own[i];
    const auto stamp = index_->stamp();
    // Without a stamp each look is taken for a commit. The index counts in 32 bits.
    counted[kRun] = stamp ? static_cast<std::uint32_t>(WalIndex::commits(*stamp) - own[kRun])
                          : foreign[kRun] + 1;
    return counted;
  });
  if (!theirs) return false;
  std::vector<Change> changes;
  for (std::size_t i = 0; i < kChangeKinds; ++i) {
    if ((*theirs)[i] != foreign[i]) changes.push_back({static_cast<ChangeKind>(i), ""});
  }
  foreign = *theirs;
  hub_.publish(changes);
  return true;
}

// Commits wait for its reads, so it has a connection of its own.
void SqliteStore::poll_changes(const std::stop_token& stop) {
  std::optional<Db> db;
  std::mutex mutex;
  std::condition_variable_any wake;
  Counters foreign{};
  std::optional<WalIndex::Stamp> seen;
  std::unique_lock lock(mutex);
  do {  // the first look tells a new subscriber to read
    const auto stamp = index_->stamp();
    if (stamp && stamp == seen) continue;
    if (!db) {
      auto opened = Db::open(options_.path, SQLITE_OPEN_READWRITE);
      if (!opened || !guard_.check()) continue;
      db = std::move(*opened);
    }
    if (tell_foreign_changes(*db, foreign)) seen = stamp;
  } while (!wake.wait_for(lock, stop, options_.poll_interval, [] { return false; }) &&
           !stop.stop_requested());
}

}  // namespace tidegate::store::sqlite

namespace tidegate::store {

Result<SchemaState> sqlite_schema(const std::string& path) {
  using namespace sqlite;
  SchemaState state{.present = 0, .needed = newest_schema(), .settings = {}};
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return state;
  TG_TRY(Db db, Db::open(path, SQLITE_OPEN_READWRITE));
  sqlite3_busy_timeout(db.raw(), kOpenBusyMs);
  TG_TRY(state.present, schema_version(db));
  TG_CHECK(check_schema(state.present, path));
  TG_TRY(const bool has_settings, db.exists("SELECT 1 FROM sqlite_schema WHERE name = 'settings'"));
  if (!has_settings) return state;
  TG_CHECK(db.each("SELECT name, value FROM settings", [&](const Row& row) {
    state.settings.emplace(row.text(0), row.text(1));
    return Status();
  }));
  return state;
}

Result<std::unique_ptr<Store>> open_sqlite_store(const SqliteOptions& options, const Clock& clock) {
  using namespace sqlite;
  TG_TRY(Db writer, open_writer(options.path, clock));
  TG_TRY(auto index, WalIndex::open(options.path));
  return std::make_unique<SqliteStore>(options, clock, std::move(writer), std::move(index));
}

}  // namespace tidegate::store
