#include "engine/connectors/mongodb/ledger.h"

#include <fmt/format.h>

#include <chrono>

#include "base/ids.h"
#include "protocol/fields.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr const char *kMeta = "_tidegate_meta", *kState = "_tidegate_state",
                     *kTables = "_tidegate_tables", *kRejected = "_tidegate_rejected";

Doc id_of(const std::string& job, const std::string& entity) {
  return Doc().put("job", std::string_view(job)).put("entity", std::string_view(entity));
}

// For people alone, so this machine's clock will do.
std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

Doc of_entity(const Claim& claim) { return id_of(claim.job, claim.entity); }

Doc by_id(const Claim& claim) { return Doc().put("_id", of_entity(claim)); }

Doc of_table(const Claim& claim) { return Doc().put("_id", std::string_view(claim.table)); }

std::optional<Intent> intent_of(const bson_t& record) {
  const auto document = document_at(record, "intent");
  if (!document) return std::nullopt;
  const bson_t& d = *document->get();
  Intent intent{.stage = text_at(d, "stage"),
                .uuid = bytes_at(d, "uuid"),
                .state = std::nullopt,
                .layout = {}};
  if (find_value(d, "state"))
    intent.state = Writer::NewState{text_at(d, "state"), number_at(d, "epoch")};
  if (const auto layout = document_at(d, "layout")) {
    intent.layout = described_layout(*layout->get());
  }
  return intent;
}

}  // namespace

Doc Ledger::mine(const Claim& claim) {
  return by_id(claim).put("fence", claim.fence).put("session", std::string_view(claim.session));
}

Result<bool> Ledger::exists() {
  TG_TRY(const auto found, db_.collection_info(kRejected));  // made last
  return found.has_value();
}

Result<std::string> Ledger::destination_id() {
  TG_TRY(const auto found, db_.find_one(kMeta, Doc().put("_id", "destination_id")));
  return found ? text_at(*found->get(), "value") : std::string();
}

Result<std::optional<Record>> Ledger::read(const std::string& job, const std::string& entity) {
  TG_TRY(const auto found, db_.find_one(kState, Doc().put("_id", id_of(job, entity))));
  if (!found) return std::nullopt;
  const bson_t& d = *found->get();
  return Record{.stored = {number_at(d, "fence"), number_at(d, "epoch"), number_at(d, "sequence"),
                           text_at(d, "state"), text_at(d, "session")},
                .intent = intent_of(d),
                .unfinished = bytes_at(d, "unfinished")};
}

Status Ledger::check_owner(const Claim& claim, bool take_over) {
  TG_TRY(const auto owner, db_.find_one(kTables, of_table(claim)));
  if (take_over) return {};
  if (owner) {
    const std::string job = text_at(*owner->get(), "job");
    const std::string entity = text_at(*owner->get(), "entity");
    if (job == claim.job && entity == claim.entity) return {};
    return fail(table_owned(claim, job, entity));
  }
  TG_TRY(const auto found, db_.collection_info(claim.table));
  if (!found) return {};
  TG_TRY(const bool rows, db_.any(claim.table));
  if (!rows) return {};
  return fail(table_foreign(claim));
}

Status Ledger::create_collections(const Clock& clock, Rng& rng) {
  TG_TRY(const bool there, exists());
  if (!there) TG_CHECK(make_collections());
  // Also after a crash in between. Who comes second finds it there.
  TG_TRY(const std::string known, destination_id());
  if (!known.empty()) return {};
  const std::string id = new_uuid_v7(clock, rng);
  const auto written =
      db_.update(kMeta, Doc().put("_id", "destination_id"),
                 Doc().put("$setOnInsert", Doc().put("value", std::string_view(id))), true);
  if (!written && written.error().code != Code::Conflict) return fail(written.error());
  return {};
}

Status Ledger::make_collections() {
  const Doc majority = Doc().put("w", "majority");
  for (const char* name : {kMeta, kState, kTables, kRejected}) {
    const auto made = db_.run(Doc().put("create", name).put("writeConcern", majority));
    if (made) continue;
    TG_TRY(const auto found, db_.collection_info(name));
    if (!found) return fail(made.error());
  }
  const Doc by_entity = Doc()
                            .put("key", Doc().put("job", 1).put("entity", 1).put("locator", 1))
                            .put("name", "entity");
  TG_CHECK(db_.run(Doc()
                       .put("createIndexes", kRejected)
                       .put_list("indexes", {&by_entity, 1})
                       .put("writeConcern", majority)));
  return {};
}

Status Ledger::claim(const Claim& claim, const Context& context) {
  const Doc filter = by_id(claim).put("fence", Doc().put("$lte", claim.fence));
  const Doc change = Doc()
                         .put("$set", Doc()
                                          .put("fence", claim.fence)
                                          .put("session", std::string_view(claim.session))
                                          .put_date("updatedAt", now_ms()))
                         .put("$setOnInsert", Doc()
                                                  .put("epoch", std::int64_t{0})
                                                  .put("sequence", std::int64_t{0})
                                                  .put("state", ""));
  for (int tried = 0;; ++tried) {
    const auto claimed = db_.update(kState, filter, change, true);
    if (claimed) return {};
    if (claimed.error().code != Code::Conflict) return fail(claimed.error());
    // There is a record with another fence, or was made just now.
    TG_TRY(const auto record, read(claim.job, claim.entity));
    if (record && record->stored.fence <= claim.fence && tried < 3) continue;
    if (record) context.fence_found(Fence{record->stored.fence});
    return fail(fenced(claim));
  }
}

Status Ledger::lock_fence(const Claim& claim) {
  // A number that grows: a write that changes nothing would lock nothing.
  TG_TRY(const std::int64_t matched,
         db_.update(kState, mine(claim), Doc().put("$inc", Doc().put("writes", std::int64_t{1}))));
  if (matched == 1) return {};
  TG_TRY(const auto record, read(claim.job, claim.entity));
  if (record) return fail(fenced(claim));
  return fail(Code::Unavailable,
              fmt::format("the record of the entity \"{}\" is gone: the database was dropped or "
                          "restored while it was written",
                          claim.entity));
}

Status Ledger::own_table(const Claim& claim, bool take_over) {
  TG_TRY(const auto owner, db_.find_one(kTables, of_table(claim)));
  const std::string job = owner ? text_at(*owner->get(), "job") : claim.job;
  const std::string entity = owner ? text_at(*owner->get(), "entity") : claim.entity;
  const bool others = job != claim.job || entity != claim.entity;
  if (owner && !others) return {};
  if (others) {
    if (!take_over) return fail(table_owned(claim, job, entity));
    TG_TRY(const auto record, read(job, entity));
    TG_CHECK(db_.update(kState, Doc().put("_id", id_of(job, entity)),
                        Doc()
                            .put("$inc", Doc().put("fence", std::int64_t{1}))
                            .put("$set", Doc().put("state", "").put("session", ""))
                            .put("$unset", Doc().put("intent", 1))));
    const Doc former = id_of(job, entity).put("fence", record ? record->stored.fence : 0);
    TG_CHECK(
        db_.update(kTables, of_table(claim), Doc().put("$addToSet", Doc().put("formers", former))));
  }
  TG_CHECK(db_.update(kTables, of_table(claim),
                      Doc().put("$set", of_entity(claim).put_date("since", now_ms())), true));
  return {};
}

Result<std::vector<Claim>> Ledger::former_owners(const Claim& claim) {
  TG_TRY(const auto owner, db_.find_one(kTables, of_table(claim)));
  std::vector<Claim> out;
  const auto list = owner ? find_value(*owner->get(), "formers") : std::nullopt;
  bson_iter_t at;
  if (!list || !bson_iter_recurse(&list->raw, &at)) return out;
  while (bson_iter_next(&at)) {
    std::uint32_t size = 0;
    const std::uint8_t* bytes = nullptr;
    bson_t one;
    bson_iter_document(&at, &size, &bytes);
    if (!bson_init_static(&one, bytes, size)) continue;
    out.push_back({.job = text_at(one, "job"),
                   .entity = text_at(one, "entity"),
                   .table = claim.table,
                   .fence = number_at(one, "fence"),
                   .session = {}});
  }
  return out;
}

Status Ledger::forget_former_owners(const Claim& claim) {
  TG_CHECK(db_.update(kTables, of_table(claim), Doc().put("$unset", Doc().put("formers", 1))));
  return {};
}

Status Ledger::set_layout(const Claim& claim, const CollectionLayout& layout) {
  TG_CHECK(db_.update(kTables, of_table(claim), Doc().put("$set", describe_layout(layout))));
  return {};
}

Status Ledger::store(const Claim& claim, const std::optional<Writer::NewState>& state) {
  Doc set = Doc().put_date("updatedAt", now_ms());
  if (state) set.put("state", std::string_view(state->state)).put("epoch", state->epoch);
  Doc change = Doc().put("$set", set).put("$unset", Doc().put("intent", 1).put("unfinished", 1));
  if (state) change.put("$inc", Doc().put("sequence", std::int64_t{1}));
  TG_TRY(const std::int64_t matched, db_.update(kState, mine(claim), change));
  return matched == 1 ? Status() : fail(fenced(claim));
}

Status Ledger::announce(const Claim& claim, const Intent& intent) {
  Doc d = Doc()
              .put("stage", std::string_view(intent.stage))
              .put("layout", describe_layout(intent.layout));
  if (!intent.uuid.empty()) d.put_uuid("uuid", intent.uuid);
  if (intent.state) {
    d.put("state", std::string_view(intent.state->state)).put("epoch", intent.state->epoch);
  }
  TG_TRY(const std::int64_t matched,
         db_.update(kState, mine(claim), Doc().put("$set", Doc().put("intent", d))));
  return matched == 1 ? Status() : fail(fenced(claim));
}

Status Ledger::announce_append(const Claim& claim, std::string_view first_bytes) {
  Doc set;
  bson_append_binary(set.get(), "unfinished", -1, BSON_SUBTYPE_BINARY,
                     reinterpret_cast<const std::uint8_t*>(first_bytes.data()),
                     static_cast<std::uint32_t>(first_bytes.size()));
  TG_TRY(const std::int64_t matched, db_.update(kState, mine(claim), Doc().put("$set", set)));
  return matched == 1 ? Status() : fail(fenced(claim));
}

Status Ledger::release(const Claim& claim) {
  TG_CHECK(db_.update(kState, mine(claim), Doc().put("$set", Doc().put("session", ""))));
  return {};
}

Status Ledger::reject(const Claim& claim, const std::string& run_id, int attempt,
                      std::span<const RejectedRow> rows, const std::string& stage) {
  const Doc this_attempt = Doc().put("runId", std::string_view(run_id)).put("attempt", attempt);
  std::vector<Doc> documents;
  for (const RejectedRow& row : rows) {
    const std::string locator = protocol::to_utf8(row.locator), text = protocol::to_utf8(row.row);
    Doc same = of_entity(claim).put("locator", std::string_view(locator));
    if (stage.empty()) {
      Doc older = same;
      older.put("row", std::string_view(text)).put_list("$nor", {&this_attempt, 1});
      TG_CHECK(db_.erase(kRejected, older));
    }
    same.put("reason", std::string_view(protocol::to_utf8(row.reason)))
        .put("row", std::string_view(text))
        .put("runId", std::string_view(run_id))
        .put("attempt", attempt)
        .put_date("rejectedAt", now_ms());
    if (!stage.empty()) same.put("stage", std::string_view(stage));
    documents.push_back(std::move(same));
  }
  std::vector<const bson_t*> raw;
  for (const Doc& d : documents) raw.push_back(d.get());
  TG_CHECK(db_.insert(kRejected, raw, true));
  return {};
}

Status Ledger::settle_rejected(const Claim& claim, const std::string& stage, bool placed) {
  Doc of_stage = of_entity(claim).put("stage", std::string_view(stage));
  if (!placed) {
    TG_CHECK(db_.erase(kRejected, of_stage));
    return {};
  }
  TG_CHECK(db_.erase(kRejected,
                     of_entity(claim).put("stage", Doc().put("$ne", std::string_view(stage)))));
  TG_CHECK(
      db_.update(kRejected, of_stage, Doc().put("$unset", Doc().put("stage", 1)), false, true));
  return {};
}

Status Ledger::forget_rejected(const Claim& claim) {
  TG_CHECK(db_.erase(kRejected, of_entity(claim)));
  return {};
}

}  // namespace tidegate::engine::mongodb
