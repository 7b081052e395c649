#include "engine/connectors/mysql/destination.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "engine/connectors/mysql/writer.h"

namespace tidegate::engine::mysql {
namespace {

constexpr std::size_t kEntityBytes = 500, kJobBytes = 255;  // what a ledger's row can have

Status check_name(const WritePlan& plan) {
  const std::string& entity = plan.entity;
  const auto refuse = [&](std::string_view why) {
    return fail(Code::Invalid,
                fmt::format("the entity \"{}\" cannot be a table: {}; rename it in the source",
                            clip(entity, 80), why));
  };
  if (entity.empty() || ascii_lower(entity).starts_with("_tidegate_"))
    return refuse("the name is empty or reserved");
  if (entity.size() > kEntityBytes) return refuse("the name is longer than 500 bytes");
  if (plan.job.size() > kJobBytes) return refuse("the job's name is longer than 255 bytes");
  if (entity.ends_with(' ')) return refuse("the name ends with a blank");
  if (std::ranges::any_of(entity, [](char c) { return static_cast<unsigned char>(c) >= 0xF0; }))
    return refuse("the name has a letter that MySQL takes in no name");
  return {};
}

// What MySQL refuses of a value is known without asking it.
class EncodedCheck final : public RowCheck {
 public:
  EncodedCheck(RowEncoder encoder, std::vector<int> fields, std::size_t piece)
      : encoder_(std::move(encoder)), fields_(std::move(fields)), piece_(piece) {}

  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override {
    TG_TRY(const auto rows, written_columns(batch, fields_));
    auto encoded = encoder_.put(*rows, RowFormat::Load, 0, piece_);
    std::vector<Refused> out;
    for (auto& r : encoded.refused) out.push_back({r.row, std::move(r.why)});
    return out;
  }

 private:
  RowEncoder encoder_;
  const std::vector<int> fields_;
  const std::size_t piece_;
};

}  // namespace

Result<std::unique_ptr<Connection>> MysqlDestination::new_connection() {
  return Connection::open(config_, context_.stop, true);
}

Status MysqlDestination::connect() {
  if (db_ && db_->is_open()) return {};
  TG_TRY(db_, new_connection());
  // Keys are compared to their end when rows of one key are looked for.
  TG_CHECK(db_->exec("SET SESSION max_sort_length = 4096"));
  TG_TRY(session_, begin_session(*db_, context_.clock, context_.rng));
  TG_TRY(const Rows names, db_->query("SELECT @@lower_case_table_names"));
  folds_names_ = names.flag(0, 0);
  return {};
}

std::string MysqlDestination::table_of(const std::string& entity) const {
  std::string table = short_name(entity);
  return folds_names_ ? ascii_lower(table) : table;
}

Result<std::optional<std::string>> MysqlDestination::table_place(const std::string& entity) {
  TG_CHECK(connect());
  return db_->place_of(table_of(entity));
}

Status MysqlDestination::check() {
  TG_CHECK(connect());
  TG_TRY(const Rows standby, db_->query("SELECT @@global.read_only"));
  if (standby.text(0, 0) == "0" || standby.text(0, 0) == "OFF") return {};
  return fail(Code::Invalid,
              fmt::format("{} accepts no writes (read_only); name the primary", config_.place()));
}

Claim MysqlDestination::claim_of(const WritePlan& plan) const {
  return {
      .job = plan.job, .entity = plan.entity, .table = table_of(plan.entity), .session = session_};
}

Result<WriterState> MysqlDestination::read_state(const Claim& claim) {
  Ledger ledger(*db_);
  TG_TRY(std::string id, ledger.destination_id());
  TG_TRY(const auto stored, ledger.read(claim.job, claim.entity));
  WriterState state = writer_state(claim, std::move(id), stored);
  TG_TRY(const TableLayout layout, read_layout(*db_, claim.table));
  state.table_exists = layout.exists;
  state.table_empty = layout.empty;
  return state;
}

Result<WriterState> MysqlDestination::inspect(const WritePlan& plan) {
  TG_CHECK(check_name(plan));
  TG_CHECK(connect());
  const Claim claim = claim_of(plan);
  TG_CHECK(Ledger(*db_).check_owner(claim, plan.take_over));
  return read_state(claim);
}

Result<Destination::Trial> MysqlDestination::trial(const WritePlan& plan, const LoadPlan& load) {
  TG_CHECK(connect());
  const std::string table = claim_of(plan).table;
  TG_TRY(const TableLayout now, read_layout(*db_, table));
  TG_TRY(LayoutChange change, plan_layout(table, now, load));
  TG_TRY(RowEncoder encoder, encoder_of(*db_, *load.schema, change));
  Trial trial;
  trial.rows = std::make_unique<EncodedCheck>(std::move(encoder), change.fields, db_->piece_size());
  trial.changes = std::move(change.sentences);
  return trial;
}

Result<std::unique_ptr<Writer>> MysqlDestination::open(const WritePlan& plan) {
  TG_CHECK(check_name(plan));
  TG_CHECK(connect());
  Ledger ledger(*db_);
  TG_CHECK(ledger.create_tables(context_.clock, context_.rng));
  const bool serverless = value(plan.fence) == 0;
  TG_TRY(const auto stored, ledger.read(plan.job, plan.entity));
  Claim claim = claim_of(plan);
  claim.fence = fence_of(plan, stored);
  // Before the row is asked for: a frozen writer inside a transaction keeps it locked for ever. And
  // before anything of the table is changed, which no fence covers.
  if (stored) TG_CHECK(ledger.end_older_session(*stored, claim.fence, serverless, context_));
  if (plan.take_over) TG_CHECK(ledger.end_owner_session(claim, context_));
  TG_CHECK(db_->exec("START TRANSACTION"));
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
  return std::make_unique<MysqlWriter>(
      *db_, [this] { return new_connection(); }, plan, std::move(claim), std::move(state));
}

}  // namespace tidegate::engine::mysql
