#include "engine/connectors/postgres/destination.h"

#include <fmt/format.h>

#include "engine/connectors/postgres/copy_encoder.h"
#include "engine/connectors/postgres/writer.h"

namespace tidegate::engine::postgres {
namespace {

Status check_name(const std::string& entity) {
  if (!entity.empty() && !entity.starts_with("_tidegate_")) return {};
  return fail(Code::Invalid,
              fmt::format("the entity \"{}\" cannot be a table: the name is empty or reserved; "
                          "rename it in the source",
                          entity));
}

// What PostgreSQL refuses of a value is known without asking it.
class EncodedCheck final : public RowCheck {
 public:
  EncodedCheck(CopyEncoder encoder, std::vector<int> fields)
      : encoder_(std::move(encoder)), fields_(std::move(fields)) {}

  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override {
    TG_TRY(const auto rows, written_columns(batch, fields_));
    std::string bytes;
    TG_TRY(auto refused, encoder_.put(*rows, bytes));
    std::vector<Refused> out;
    for (auto& r : refused) out.push_back({r.row, std::move(r.why)});
    return out;
  }

 private:
  CopyEncoder encoder_;
  const std::vector<int> fields_;
};

}  // namespace

Status PostgresDestination::connect() {
  if (db_ && db_->is_open()) return {};
  TG_TRY(db_, Connection::open(config_, context_.stop));
  // What a policy hides would stay behind a full load: better an error.
  TG_CHECK(db_->exec("SET row_security = off"));
  TG_TRY(const Rows found,
         db_->query("SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, "
                    "'USAGE'), current_user FROM pg_namespace WHERE nspname = $1",
                    {config_.schema}));
  if (found.size() == 0) {
    return fail(
        Code::NotFound,
        fmt::format("there is no schema \"{}\" in {}; CREATE SCHEMA {}, or correct `schema`",
                    config_.schema, config_.place, db_->identifier(config_.schema)));
  }
  if (!found.flag(0, 0)) {
    return fail(Code::Forbidden, fmt::format("the user may not make tables in the schema \"{0}\"; "
                                             "GRANT USAGE, CREATE ON SCHEMA {1} TO {2}",
                                             config_.schema, db_->identifier(config_.schema),
                                             db_->identifier(found.text(0, 1))));
  }
  return {};
}

Result<std::optional<std::string>> PostgresDestination::table_place(const std::string& entity) {
  TG_CHECK(connect());
  return db_->place_of(config_.schema, short_name("", entity));
}

Status PostgresDestination::check() {
  TG_CHECK(connect());
  TG_TRY(
      const Rows standby,
      db_->query("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"));
  if (!standby.flag(0, 0)) return {};
  return fail(
      Code::Invalid,
      fmt::format(
          "{} accepts no writes (a standby, or default_transaction_read_only); name the primary",
          config_.place));
}

Result<WriterState> PostgresDestination::read_state(const Claim& claim) {
  Ledger ledger(*db_, config_.schema);
  TG_TRY(std::string id, ledger.destination_id());
  TG_TRY(const auto stored, ledger.read(claim.job, claim.entity));
  WriterState state = writer_state(claim, std::move(id), stored);
  TG_TRY(const TableLayout layout, read_layout(*db_, {config_.schema, claim.table}));
  state.table_exists = layout.exists;
  state.table_empty = layout.empty;
  return state;
}

Result<WriterState> PostgresDestination::inspect(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_CHECK(connect());
  const Claim claim{
      .job = plan.job, .entity = plan.entity, .table = short_name("", plan.entity), .session = {}};
  TG_CHECK(Ledger(*db_, config_.schema).check_owner(claim, plan.take_over));
  return read_state(claim);
}

Result<Destination::Trial> PostgresDestination::trial(const WritePlan& plan, const LoadPlan& load) {
  TG_CHECK(connect());
  const Place place{config_.schema, short_name("", plan.entity)};
  TG_TRY(const TableLayout now, read_layout(*db_, place));
  TG_TRY(LayoutChange change, plan_layout(place, now, load));
  TG_TRY(CopyEncoder encoder, encoder_of(*load.schema, change.fields));
  Trial trial;
  trial.rows = std::make_unique<EncodedCheck>(std::move(encoder), change.fields);
  trial.changes = std::move(change.sentences);
  return trial;
}

Result<std::unique_ptr<Writer>> PostgresDestination::open(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_CHECK(connect());
  Ledger ledger(*db_, config_.schema);
  TG_CHECK(ledger.create_tables(context_.clock, context_.rng));
  const bool serverless = value(plan.fence) == 0;
  TG_TRY(const auto stored, ledger.read(plan.job, plan.entity));
  TG_TRY(const std::string session, db_->session());
  Claim claim{.job = plan.job,
              .entity = plan.entity,
              .table = short_name("", plan.entity),
              .fence = fence_of(plan, stored),
              .session = session};
  // Before the row is asked for: a frozen writer inside a transaction keeps it locked for ever.
  if (stored) TG_CHECK(ledger.end_older_session(*stored, claim.fence, serverless, context_));
  TG_CHECK(db_->exec("BEGIN"));
  const Status claimed = [&]() -> Status {
    TG_CHECK(ledger.check_owner(claim, plan.take_over));
    TG_CHECK(ledger.claim(claim, context_));
    return db_->exec("COMMIT");
  }();
  if (!claimed) {
    if (db_->is_open()) (void)db_->exec("ROLLBACK");
    return fail(claimed.error());
  }
  TG_TRY(WriterState state, read_state(claim));
  return std::make_unique<PostgresWriter>(
      *db_, [this] { return Connection::open(config_, context_.stop); }, context_, config_.schema,
      plan, std::move(claim), std::move(state));
}

}  // namespace tidegate::engine::postgres
