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
#include "engine/connectors/postgres/connection.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"

namespace tidegate::engine::postgres {

class Ledger {
 public:
  // The tables stand in this schema, beside the data.
  Ledger(Connection& db, std::string schema) : db_(db), schema_(std::move(schema)) {}

  // All are safe in a schema that has no Tidegate table yet.
  Result<bool> exists();
  Result<std::string> destination_id();
  Result<std::optional<StoredState>> read(const std::string& job, const std::string& entity);
  // Conflict unless the table is free, this job's entity's own, or `take_over`.
  Status check_owner(const Claim& claim, bool take_over);

  // Ends the session of an older attempt, which may be frozen inside a transaction. Unavailable:
  // without a server nobody knows which of the two is meant.
  Status end_older_session(const StoredState& stored, std::int64_t fence, bool serverless,
                           const Context& context);

  // In a transaction of its own: who comes second finds them there.
  Status create_tables(const Clock& clock, Rng& rng);

  // REQUIRES (all below): a transaction.
  // Fenced when a newer attempt holds it.
  Status claim(const Claim& claim, const Context& context);
  // The first statement of every transaction that writes: locks the fence row and compares it.
  Status lock_fence(const Claim& claim);
  // Makes the claim the table's owner; with `take_over` an owner before it is fenced off and loses
  // its state. Conflict without: another job may have made the table since check_owner().
  Status own_table(const Claim& claim, bool take_over);
  Status store(const Claim& claim, const Writer::NewState& state);
  Status release(const Claim& claim);

  // A row that an earlier attempt or run rejected too is kept once, as the last one saw it.
  Status reject(const Claim& claim, const std::string& run_id, int attempt,
                std::span<const RejectedRow> rows);
  // A full load's rejected rows replace those of the loads, and of its own attempts, before it.
  Status forget_rejected(const Claim& claim);

 private:
  std::string at(std::string_view table) const;
  static Status still_mine(const Rows& updated, const Claim& claim);

  Connection& db_;
  const std::string schema_;
};

}  // namespace tidegate::engine::postgres
