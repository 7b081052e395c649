#pragma once
// Repeated POSTs.

#include <optional>
#include <string>

#include "control/store/mongo/tx.h"

namespace tidegate::store::mongo {

// The id made by an earlier request with this key; Conflict `idempotency_mismatch`.
Result<std::optional<std::string>> find_replay(Conn& db, Instant now, const Idempotency& once);
// The same within a write; nullopt without a key.
Result<std::optional<std::string>> replay(Tx& tx, const std::optional<Idempotency>& once);
Status remember(Tx& tx, const std::optional<Idempotency>& once, const std::string& id);

}  // namespace tidegate::store::mongo
