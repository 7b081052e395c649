#include "control/store/postgres/keys.h"

#include "control/store/rules.h"

namespace tidegate::store::postgres {

namespace {

using Earlier = Result<std::optional<std::string>>;

Query look(const Idempotency& once) {
  return query(
      "SELECT body_hash, created_id FROM idempotency_keys WHERE scope = $1 AND key = $2 AND "
      "created_at > tidegate_now() - $3 * interval '1 millisecond'",
      once.scope, once.key, rules::kIdempotencyKept.count());
}

Earlier earlier_from(const Rows& rows, const Idempotency& once) {
  if (rows.empty()) return std::nullopt;
  if (rows.front().view(0) != once.body_hash) return rules::idempotency_mismatch();
  return rows.front().text(1);
}

}  // namespace

Earlier find_replay(Session& db, const Idempotency& once) {
  TG_TRY(const auto rows, db.run({look(once)}));
  return earlier_from(rows[0], once);
}

Earlier replay(Tx& tx, const std::optional<Idempotency>& once) {
  if (!once) return std::nullopt;
  TG_TRY(const auto rows,
         tx.db.run({query("SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 0))",
                          once->scope, once->key),
                    look(*once)}));
  return earlier_from(rows[1], *once);
}

Status remember(Tx& tx, const std::optional<Idempotency>& once, const std::string& id) {
  if (!once) return {};
  TG_TRY(const auto done,
         tx.db.run({query("DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND "
                          "created_at <= $3",
                          once->scope, once->key, tx.now - rules::kIdempotencyKept),
                    query("INSERT INTO idempotency_keys VALUES ($1, $2, $3, $4, $5)", once->scope,
                          once->key, once->body_hash, id, tx.now)}));
  return {};
}

}  // namespace tidegate::store::postgres
