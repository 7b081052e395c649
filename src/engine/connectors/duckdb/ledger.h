#pragma once
// What Tidegate keeps in a DuckDB file beside the data: fences, states, table owners, rejected
// rows. The statements of the commit protocol (docs/protocol.md, "Commit") stand here and nowhere
// else.
//
// The tables have no keys: DuckDB refuses a row whose key was updated in the same transaction, and
// there is one writer, so nobody adds a row between a look and an INSERT.

#include <optional>
#include <span>
#include <string>

#include "base/rng.h"
#include "base/time.h"
#include "engine/connectors/duckdb/db.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"

namespace tidegate::engine::duckdb {

class Ledger {
 public:
  explicit Ledger(Db& db) : db_(db) {}

  // All are safe in a file that has no Tidegate table yet.
  Result<std::string> destination_id();
  Result<std::optional<StoredState>> read(const std::string& job, const std::string& entity);
  // Conflict unless the table is free, this job's entity's own, or `take_over`.
  Status check_owner(const Claim& claim, bool take_over);

  // REQUIRES (all below): a transaction.
  // Those that are not there.
  Status create_tables(const Clock& clock, Rng& rng);
  // Fenced when a newer attempt holds it.
  Status claim(const Claim& claim, const Context& context);
  // The first statement of every transaction that writes: updates the fence row and compares it.
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
  // Each is asked for alone: somebody may have dropped another.
  Result<bool> has(const std::string& table);
  Result<Rows> owner(const Claim& claim);

  Db& db_;
};

}  // namespace tidegate::engine::duckdb
