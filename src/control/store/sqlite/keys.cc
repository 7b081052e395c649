#include "control/store/sqlite/keys.h"

#include "control/store/rules.h"

namespace tidegate::store::sqlite {

Result<std::optional<std::string>> find_replay(Db& db, Instant now, const Idempotency& once) {
  std::optional<std::string> id;
  std::string body_hash;
  TG_TRY(const bool found,
         db.first(
             "SELECT body_hash, created_id FROM idempotency_keys WHERE scope = ? AND key = ? "
             "AND created_at > ?",
             [&](const Row& r) {
               body_hash = r.text(0);
               id = r.text(1);
             },
             once.scope, once.key, now - rules::kIdempotencyKept));
  if (found && body_hash != once.body_hash) return rules::idempotency_mismatch();
  return id;
}

Result<std::optional<std::string>> replay(Tx& tx, const std::optional<Idempotency>& once) {
  if (!once) return std::nullopt;
  return find_replay(tx.db, tx.now, *once);
}

Status remember(Tx& tx, const std::optional<Idempotency>& once, const std::string& id) {
  if (!once) return {};
  return tx.db.exec("INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?)", once->scope,
                    once->key, once->body_hash, id, tx.now);
}

}  // namespace tidegate::store::sqlite
