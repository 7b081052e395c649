#include "engine/connectors/sqlite/destination.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/layout.h"
#include "engine/connectors/sqlite/lock_holder.h"
#include "engine/connectors/sqlite/row_check.h"
#include "engine/connectors/sqlite/writer.h"
#include "engine/core/older_session.h"

namespace tidegate::engine::sqlite {
namespace {

// 32 MiB of pages: a load of any size spills into the WAL and memory stays flat.
constexpr const char* kCacheSize = "PRAGMA cache_size = -32768";

constexpr Millis kCheckPatience{500};

// A quarter of the system calls of the default of 4 KiB while a load goes through the WAL.
constexpr const char* kPageSize = "PRAGMA page_size = 16384";

Status check_name(const std::string& table) {
  const bool reserved = same_name(std::string_view(table).substr(0, 7), "sqlite_") ||
                        same_name(std::string_view(table).substr(0, 10), "_tidegate_");
  if (!table.empty() && !reserved && table.find('\0') == std::string::npos) return {};
  return fail(Code::Invalid,
              fmt::format("the entity \"{}\" cannot be a table of SQLite: the name is empty or "
                          "reserved; rename it in the source",
                          table));
}

}  // namespace

std::string SqliteDestination::identity() const {
  const auto real = context_.paths.resolve(config_.path, true);
  return "sqlite:" + (real ? *real : config_.path);
}

std::optional<std::string> SqliteDestination::local_file(const std::string&) const {
  const auto real = context_.paths.resolve(config_.path, true);
  return real ? std::optional(*real) : std::nullopt;
}

Status SqliteDestination::connect(const WritePlan& plan) {
  if (db_) return {};
  TG_TRY(const std::string real, context_.paths.resolve(config_.path, true));
  // Made here, not only found missing: what another program makes meanwhile is its own.
  struct stat made{};
  const int fd = ::open(real.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  const bool fresh = fd >= 0 && fstat(fd, &made) == 0;
  if (fd >= 0) close(fd);
  const Status status = connect_to(real, plan);
  if (status || !fresh || status.error().reason != kDiskFull) return status;
  // An empty file is no database yet, and on this disk nobody else can make it one.
  struct stat now{};
  if (stat(real.c_str(), &now) == 0 && now.st_size == 0 && now.st_ino == made.st_ino &&
      now.st_dev == made.st_dev) {
    unlink(real.c_str());
  }
  return status;
}

Status SqliteDestination::connect_to(const std::string& real, const WritePlan& plan) {
  TG_TRY(auto db, Db::open(real, Open::Create, context_.stop,
                           [this, real, job = plan.job, fence = value(plan.fence)] {
                             end_older_attempt(real, job, fence, context_);
                           }));
  TG_CHECK(add_functions(*db));
  // Takes effect on a database without tables only.
  TG_CHECK(db->exec(kPageSize));
  TG_CHECK(begin_ledger(*db));
  if (config_.wal) {
    // Not possible while somebody else is connected; then it stays as it is.
    if (const auto mode = db->text("PRAGMA journal_mode = WAL"); !mode || *mode != "wal") {
      if (!mode && mode.error().code != Code::Unavailable) return fail(mode.error());
      context_.log(LogLevel::Warn,
                   fmt::format("'{}' could not be switched to write-ahead logging; readers "
                               "may have to wait while a load is written",
                               real));
    }
  }
  for (const char* pragma : {kCacheSize, "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = OFF",
                             "PRAGMA legacy_alter_table = ON"}) {
    TG_CHECK(db->exec(pragma));
  }
  db_ = std::move(db);
  return {};
}

// For a dry run. A connection that may only read makes the log and its index, and cannot take them
// away; one that may write does with its end.
Result<std::unique_ptr<Db>> SqliteDestination::look_into(const std::string& real) const {
  const bool writable = access(real.c_str(), W_OK) == 0;
  TG_TRY(auto db, Db::open(real, writable ? Open::ReadWrite : Open::ReadOnly, context_.stop));
  TG_CHECK(db->exec("PRAGMA query_only = ON"));
  return db;
}

// In a new database before there is a write-ahead log, so that the claim, and what is done to it on
// a disk that became full, needs no new page (Db::grow_to_committed()).
Status SqliteDestination::begin_ledger(Db& db) const {
  TG_TRY(const std::int64_t tables, db.integer("SELECT count(*) FROM sqlite_schema"));
  if (tables > 0) return {};
  TG_CHECK(begin_write(db, context_));
  Status status = Ledger(db).create_tables(context_.clock, context_.rng);
  if (status) status = db.exec("COMMIT");
  if (!status) db.rollback();
  return status;
}

Status SqliteDestination::check() {
  TG_TRY(const std::string real, context_.paths.resolve(config_.path, true));
  if (access(real.c_str(), F_OK) != 0) {
    const std::string folder = real.substr(0, real.rfind('/') + 1);
    if (access(folder.c_str(), W_OK | X_OK) == 0) return {};
    return fail(Code::Forbidden,
                fmt::format("'{}' does not exist and cannot be created: no write access to "
                            "the folder '{}'",
                            real, folder));
  }
  TG_TRY(const auto db, Db::open(real, Open::ReadWrite, context_.stop));
  db->busy_timeout(kCheckPatience);
  TG_CHECK(db->exec("BEGIN IMMEDIATE"));
  db->rollback();
  return {};
}

Result<WriterState> SqliteDestination::read_state(Db& db, const Claim& claim) const {
  Ledger ledger(db);
  TG_TRY(std::string id, ledger.destination_id());
  TG_TRY(const auto stored, ledger.read(claim.job, claim.entity));
  WriterState state = writer_state(claim, std::move(id), stored);
  TG_TRY(const TableLayout layout, read_layout(db, claim.table));
  state.table_exists = layout.exists;
  state.table_empty = layout.empty;
  return state;
}

Result<WriterState> SqliteDestination::inspect(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_TRY(const std::string real, context_.paths.resolve(config_.path, true));
  const Claim claim{.job = plan.job, .entity = plan.entity, .table = plan.entity};
  if (access(real.c_str(), F_OK) != 0) {
    WriterState nothing;
    nothing.table = claim.table;
    return nothing;
  }
  TG_TRY(const auto db, look_into(real));
  TG_CHECK(Ledger(*db).check_owner(claim, plan.take_over));
  return read_state(*db, claim);
}

Result<Destination::Trial> SqliteDestination::trial(const WritePlan& plan, const LoadPlan& load) {
  TG_TRY(const std::string real, context_.paths.resolve(config_.path, true));
  Trial trial;
  if (access(real.c_str(), F_OK) != 0) {
    TG_TRY(LayoutChange change, plan_layout(plan.entity, {}, load));
    TG_TRY(trial.rows, make_row_check(load, change, nullptr));
    trial.changes = std::move(change.sentences);
    return trial;
  }
  TG_TRY(const auto db, look_into(real));
  TG_TRY(TableLayout now, read_layout(*db, plan.entity));
  TG_CHECK(find_unused(*db, plan.entity, load, now));
  TG_TRY(LayoutChange change, plan_layout(plan.entity, now, load));
  TG_CHECK(check_layout(*db, plan.entity, change, load.kind != LoadKind::Replace));
  TG_TRY(std::unique_ptr<TableTwin> twin,
         TableTwin::make(*db, plan.entity, now, load, change, context_.stop));
  TG_TRY(trial.rows, make_row_check(load, change, std::move(twin)));
  trial.changes = std::move(change.sentences);
  return trial;
}

Result<std::unique_ptr<Writer>> SqliteDestination::open(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_CHECK(connect(plan));
  Ledger ledger(*db_);
  const bool serverless = value(plan.fence) == 0;
  TG_TRY(const auto stored, ledger.read(plan.job, plan.entity));
  Claim claim{.job = plan.job,
              .entity = plan.entity,
              .table = plan.entity,
              .fence = fence_of(plan, stored),
              .session = writer_session(++writers_)};
  // Before the lock is asked for: a frozen writer inside a transaction keeps the file locked for
  // ever. (One that froze before its claim was committed: lock_holder.h.)
  if (stored) {
    TG_CHECK(end_older_session({stored->session, stored->fence}, claim.fence, serverless,
                               "this destination", context_));
  }
  TG_CHECK(begin_write(*db_, context_));
  const auto claim_it = [&]() -> Status {
    TG_CHECK(ledger.create_tables(context_.clock, context_.rng));
    TG_CHECK(ledger.check_owner(claim, plan.take_over));
    TG_CHECK(ledger.claim(claim, context_));
    return db_->exec("COMMIT");
  };
  if (const Status status = claim_it(); !status) {
    db_->rollback();
    return fail(status.error());
  }
  TG_TRY(WriterState state, read_state(*db_, claim));
  return std::make_unique<SqliteWriter>(*db_, context_, plan, std::move(claim), std::move(state));
}

}  // namespace tidegate::engine::sqlite
