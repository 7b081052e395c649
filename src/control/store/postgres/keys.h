#pragma once
// Repeated POSTs.

#include <optional>
#include <string>

#include "control/store/postgres/tx.h"

namespace tidegate::store::postgres {

// The id made by an earlier request with this key; Conflict `idempotency_mismatch`.
Result<std::optional<std::string>> find_replay(Session& db, const Idempotency& once);
// The same within a write; nullopt without a key. Of two requests at once the second waits for the
// first, lest it finds the name taken instead of the answer.
Result<std::optional<std::string>> replay(Tx& tx, const std::optional<Idempotency>& once);
Status remember(Tx& tx, const std::optional<Idempotency>& once, const std::string& id);

}  // namespace tidegate::store::postgres
