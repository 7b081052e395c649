#include "engine/connectors/mongodb/destination.h"

#include <fmt/format.h>

#include "engine/connectors/mongodb/encoder.h"
#include "engine/connectors/mongodb/stage.h"
#include "engine/connectors/mongodb/writer.h"
#include "engine/core/older_session.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr std::size_t kNameBytes = 180;  // with the database's 63 a namespace of at most 255

Status check_name(const std::string& entity) {
  const bool reserved = entity.starts_with("_tidegate_") || entity.starts_with("system.");
  if (!entity.empty() && !reserved && entity.size() <= kNameBytes &&
      entity.find('$') == std::string::npos) {
    return {};
  }
  return fail(Code::Invalid,
              fmt::format("the entity \"{}\" cannot be a collection: the name is empty, reserved, "
                          "longer than {} bytes or has a $; rename it in the source",
                          entity, kNameBytes));
}

// What MongoDB refuses of a value is known without asking it.
class EncodedCheck final : public RowCheck {
 public:
  explicit EncodedCheck(DocumentEncoder encoder) : encoder_(std::move(encoder)) {}

  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override {
    std::vector<Refused> out;
    for (auto& r : encoder_.encode(batch, [](std::int64_t, const DocumentEncoder::Row&) {})) {
      out.push_back({r.row, std::move(r.why)});
    }
    return out;
  }

 private:
  DocumentEncoder encoder_;
};

}  // namespace

Status MongoDestination::connect() {
  if (db_) return {};
  TG_TRY(db_, Connection::open(config_, context_.stop));
  return {};
}

Result<std::optional<std::string>> MongoDestination::table_place(const std::string& entity) {
  TG_CHECK(connect());
  return db_->place_of(entity);
}

Status MongoDestination::check() {
  TG_CHECK(connect());
  // An update that matches nothing needs the right to write, and leaves nothing behind.
  TG_CHECK(db_->update("_tidegate_check", Doc().put("_id", "nothing"),
                       Doc().put("$set", Doc().put("checked", true))));
  if (!db_->transactions()) {
    context_.log(
        LogLevel::Warn,
        fmt::format("{} is a standalone server without transactions: rows that are merged "
                    "or appended are seen before their commit, and after a crash until the "
                    "next attempt; make it a replica set of one",
                    config_.place));
  }
  return {};
}

Result<WriterState> MongoDestination::read_state(const Claim& claim,
                                                 const std::optional<Record>& record) {
  TG_TRY(std::string id, Ledger(*db_).destination_id());
  const auto stored = record ? std::optional(record->stored) : std::nullopt;
  WriterState state = writer_state(claim, std::move(id), stored);
  TG_TRY(const CollectionLayout layout, read_layout(*db_, claim.table));
  state.table_exists = layout.exists;
  state.table_empty = layout.empty;
  return state;
}

Result<WriterState> MongoDestination::inspect(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_CHECK(connect());
  const Claim claim{.job = plan.job, .entity = plan.entity, .table = plan.entity, .session = {}};
  Ledger ledger(*db_);
  TG_CHECK(ledger.check_owner(claim, plan.take_over));
  TG_TRY(const auto record, ledger.read(plan.job, plan.entity));
  return read_state(claim, record);
}

Result<Destination::Trial> MongoDestination::trial(const WritePlan& plan, const LoadPlan& load) {
  TG_CHECK(connect());
  TG_TRY(const CollectionLayout now, read_layout(*db_, plan.entity));
  TG_TRY(LayoutChange change, plan_layout(plan.entity, now, load));
  TG_TRY(DocumentEncoder encoder,
         DocumentEncoder::make(*load.schema, change.fields, load.key, config_.timestamps));
  Trial trial;
  trial.rows = std::make_unique<EncodedCheck>(std::move(encoder));
  trial.changes = std::move(change.sentences);
  return trial;
}

// `BOOT:PID:START/NUMBER LSID`. On this host the process is ended; elsewhere its open transaction
// is, which would keep the record locked for as long as the server allows.
Status MongoDestination::end_older(const StoredState& stored, std::int64_t fence, bool serverless) {
  const auto blank = stored.session.find(' ');
  if (blank == std::string::npos) return {};
  TG_CHECK(end_older_session({stored.session.substr(0, blank), stored.fence}, fence, serverless,
                             "this database", context_));
  const std::string lsid = stored.session.substr(blank + 1);
  if (lsid.empty() || lsid == db_->session() || stored.fence >= fence) return {};
  return db_->kill_session(lsid);
}

Result<std::unique_ptr<Writer>> MongoDestination::open(const WritePlan& plan) {
  TG_CHECK(check_name(plan.entity));
  TG_CHECK(connect());
  Ledger ledger(*db_);
  TG_CHECK(ledger.create_collections(context_.clock, context_.rng));
  const bool serverless = value(plan.fence) == 0;
  TG_TRY(auto record, ledger.read(plan.job, plan.entity));
  const auto stored = record ? std::optional(record->stored) : std::nullopt;
  const Claim claim{.job = plan.job,
                    .entity = plan.entity,
                    .table = plan.entity,
                    .fence = fence_of(plan, stored),
                    .session = fmt::format("{} {}", writer_session(++writers_), db_->session())};
  TG_CHECK(ledger.check_owner(claim, plan.take_over));
  if (stored) TG_CHECK(end_older(*stored, claim.fence, serverless));
  TG_CHECK(ledger.claim(claim, context_));
  TG_TRY(record, ledger.read(plan.job, plan.entity));
  if (record && record->intent) {
    TG_CHECK(settle(*db_, ledger, claim, *record->intent));
    TG_TRY(record, ledger.read(plan.job, plan.entity));
  }
  TG_TRY(WriterState state, read_state(claim, record));
  return std::make_unique<MongoWriter>(*db_, context_, config_.timestamps, plan, claim,
                                       std::move(state), record ? record->unfinished : "");
}

}  // namespace tidegate::engine::mongodb
