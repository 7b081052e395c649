#include "control/store/mongo/keys.h"

#include "control/store/mongo/rows.h"

namespace tidegate::store::mongo {
namespace {

std::string id_of(const Idempotency& once) { return once.scope + '\n' + once.key; }

}  // namespace

Result<std::optional<std::string>> find_replay(Conn& db, Instant now, const Idempotency& once) {
  const bj::object fresh{{"_id", id_of(once)},
                         {"createdAt", bj::object{{"$gt", date(now - rules::kIdempotencyKept)}}}};
  TG_TRY(const auto found, db.find_one(coll::kKeys, {.filter = fresh}));
  if (!found) return std::nullopt;
  if (text_of(*found, "bodyHash") != once.body_hash) return rules::idempotency_mismatch();
  return text_of(*found, "createdId");
}

Result<std::optional<std::string>> replay(Tx& tx, const std::optional<Idempotency>& once) {
  if (!once) return std::nullopt;
  return find_replay(tx.db, tx.now, *once);
}

Status remember(Tx& tx, const std::optional<Idempotency>& once, const std::string& id) {
  if (!once) return {};
  TG_CHECK(tx.db.replace(coll::kKeys, {{"_id", id_of(*once)}},
                         {{"_id", id_of(*once)},
                          {"bodyHash", once->body_hash},
                          {"createdId", id},
                          {"createdAt", date(tx.now)}},
                         true));
  return {};
}

}  // namespace tidegate::store::mongo
