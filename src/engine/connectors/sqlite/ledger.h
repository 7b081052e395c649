#pragma once
// What Tidegate keeps in a destination database beside the data: fences, states, table owners,
// rejected rows. The statements of the commit protocol (docs/protocol.md, "Commit") stand here and
// nowhere else.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "engine/connectors/sqlite/db.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"

namespace tidegate::engine::sqlite {

class Ledger {
 public:
  explicit Ledger(Db& db) : db_(db) {}

  // All are safe in a database that has no Tidegate table yet.
  Result<bool> exists();
  Result<std::string> destination_id();
  Result<std::optional<StoredState>> read(const std::string& job, const std::string& entity);
  // Conflict unless the table is free, this job's entity's own, or `take_over`.
  Status check_owner(const Claim& claim, bool take_over);

  // REQUIRES (all below): a write transaction.
  Status create_tables(const Clock& clock, Rng& rng);
  // Fenced when a newer attempt holds it.
  Status claim(const Claim& claim, const Context& context);
  // The first statement of every transaction that writes: locks the fence row and compares it.
  Status lock_fence(const Claim& claim, const Clock& clock);
  // Makes the claim the table's owner; the owner before it is fenced off and loses its state.
  Status own_table(const Claim& claim, const Clock& clock);
  Status store(const Claim& claim, const Writer::NewState& state, const Clock& clock);
  Status release(const Claim& claim);

  // A row that an earlier attempt or run rejected too is kept once, as the last one saw it.
  Status reject(const Claim& claim, const std::string& run_id, int attempt,
                std::span<const RejectedRow> rows, const Clock& clock);
  // A full load's rejected rows replace those of the loads, and of its own attempts, before it.
  Status forget_rejected(const Claim& claim);

 private:
  // After an UPDATE of the claim's fence row: Fenced unless it met the row.
  Status still_mine(const Claim& claim) const;

  Db& db_;
};

}  // namespace tidegate::engine::sqlite
