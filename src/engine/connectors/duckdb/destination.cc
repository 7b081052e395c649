#include "engine/connectors/duckdb/destination.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/text.h"
#include "base/unique_fd.h"
#include "engine/connectors/duckdb/file.h"
#include "engine/connectors/duckdb/ledger.h"
#include "engine/connectors/duckdb/row_check.h"
#include "engine/connectors/duckdb/writer.h"
#include "engine/core/lock_holder.h"
#include "engine/core/older_session.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr Millis kCheckPatience{500};

Status check_name(const std::string& table) {
  const bool reserved = ascii_lower(table).starts_with("_tidegate_");
  if (!table.empty() && !reserved && table.find('\0') == std::string::npos) return {};
  return fail(Code::Invalid,
              fmt::format("the entity \"{}\" cannot be a table of DuckDB: the name is empty or "
                          "reserved; rename it in the source",
                          table));
}

// Nobody else can look into a file that another process has open, so its lock tells who that is.
void end_older_attempt(const std::string& path, const WritePlan& plan, const Context& context) {
  // This process has no lock on the file that closing it again could drop: it was refused one.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  const LockBytes lock{.path = path};
  end_older_attempts({&lock, 1}, plan.job, value(plan.fence), context);
}

Result<WriterState> read_state(Db& db, const Claim& claim) {
  Ledger ledger(db);
  TG_TRY(std::string id, ledger.destination_id());
  TG_TRY(const auto stored, ledger.read(claim.job, claim.entity));
  WriterState state = writer_state(claim, std::move(id), stored);
  TG_TRY(const TableLayout layout, read_layout(db, claim.table));
  state.table_exists = layout.exists;
  state.table_empty = layout.empty;
  return state;
}

}  // namespace

std::string DuckdbDestination::identity() const {
  const auto real = context_.paths.resolve(path_, true);
  return "duckdb:" + (real ? *real : path_);
}

std::optional<std::string> DuckdbDestination::local_file(const std::string&) const {
  const auto real = context_.paths.resolve(path_, true);
  return real ? std::optional(*real) : std::nullopt;
}

Status DuckdbDestination::connect(const WritePlan& plan) {
  if (db_) return db_->in_place();
  TG_TRY(const std::string real, context_.paths.resolve(path_, true));
  TG_TRY(db_, Db::open(real, Open::Write, patience_, context_,
                       [&] { end_older_attempt(real, plan, context_); }));
  return db_->in_place();
}

Status DuckdbDestination::check() {
  TG_CHECK(api());
  TG_TRY(const std::string real, context_.paths.resolve(path_, true));
  if (!holds_something(real)) {
    const std::string folder = real.substr(0, real.rfind('/') + 1);
    if (access(folder.c_str(), W_OK | X_OK) == 0) return {};
    return fail(
        Code::Forbidden,
        fmt::format("'{}' is not there, or empty, and cannot be created: no write access to "
                    "the folder '{}'",
                    real, folder));
  }
  TG_TRY(const auto db, Db::open(real, Open::Write, kCheckPatience, context_));
  return db->exec("SELECT 1");
}

Result<WriterState> DuckdbDestination::inspect(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_TRY(const std::string real, context_.paths.resolve(path_, true));
  const Claim claim{.job = plan.job, .entity = plan.entity, .table = plan.entity, .session = {}};
  if (!holds_something(real)) {
    WriterState nothing;
    nothing.table = claim.table;
    return nothing;
  }
  TG_TRY(const auto db, Db::open(real, Open::ReadOnly, patience_, context_));
  TG_CHECK(Ledger(*db).check_owner(claim, plan.take_over));
  return read_state(*db, claim);
}

Result<Destination::Trial> DuckdbDestination::trial(const WritePlan& plan, const LoadPlan& load) {
  TG_TRY(const std::string real, context_.paths.resolve(path_, true));
  TableLayout now;
  if (holds_something(real)) {
    TG_TRY(const auto db, Db::open(real, Open::ReadOnly, patience_, context_));
    TG_TRY(now, read_layout(*db, plan.entity));
  }
  TG_TRY(LayoutChange change, plan_layout(plan.entity, now, load));
  Trial trial;
  TG_TRY(trial.rows, make_row_check(load, change, context_));
  trial.changes = std::move(change.sentences);
  return trial;
}

Result<std::unique_ptr<Writer>> DuckdbDestination::open(const WritePlan& plan) {
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
  if (stored) {
    TG_CHECK(end_older_session({stored->session, stored->fence}, claim.fence, serverless,
                               "this destination", context_));
  }
  TG_CHECK(db_->exec("BEGIN TRANSACTION"));
  const auto claim_it = [&]() -> Status {
    TG_CHECK(ledger.create_tables(context_.clock, context_.rng));
    TG_CHECK(ledger.check_owner(claim, plan.take_over));
    TG_CHECK(ledger.claim(claim, context_));
    return db_->commit();
  };
  if (const Status status = claim_it(); !status) {
    db_->rollback();
    return fail(status.error());
  }
  TG_TRY(WriterState state, read_state(*db_, claim));
  return std::make_unique<DuckdbWriter>(*db_, context_, plan, std::move(claim), std::move(state));
}

}  // namespace tidegate::engine::duckdb
