#pragma once
// What Tidegate keeps in a destination database beside the data: fences, states, table owners,
// rejected rows. The statements of the commit protocol (docs/protocol.md, "Commit") stand here and
// nowhere else.
//
// A writer's session is its connection's number and the name of a lock that it holds for as long as
// it lives. Statements that change a table's definition are in no transaction here, so the fence
// does not cover them: a newer attempt goes on only when that lock is free.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "engine/connectors/mysql/connection.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"

namespace tidegate::engine::mysql {

// The session of a new connection, which holds its lock from now on.
Result<std::string> begin_session(Connection& db, const Clock& clock, Rng& rng);

class Ledger {
 public:
  explicit Ledger(Connection& db) : db_(db) {}

  // All are safe in a database that has no Tidegate table yet.
  Result<bool> exists();
  Result<std::string> destination_id();
  Result<std::optional<StoredState>> read(const std::string& job, const std::string& entity);
  // Conflict unless the table is free, this job's entity's own, or `take_over`.
  Status check_owner(const Claim& claim, bool take_over);
  // The columns of the key that Tidegate made, as note_keys() was last told: of each that it may
  // be, none empty.
  Result<std::vector<std::vector<std::string>>> own_keys(const std::string& table);

  // Ends the session of an older attempt, and of another job's whose table is taken over.
  // Unavailable: without a server nobody knows which of the two is meant; or it will not end.
  Status end_older_session(const StoredState& stored, std::int64_t fence, bool serverless,
                           const Context& context);
  Status end_owner_session(const Claim& claim, const Context& context);

  // Whoever comes second finds them there.
  Status create_tables(const Clock& clock, Rng& rng);

  // REQUIRES (all below): a transaction.
  // Fenced when a newer attempt holds it.
  Status claim(const Claim& claim, const Context& context);
  // The first statement of every transaction that writes: locks the fence row and compares it.
  Status lock_fence(const Claim& claim);
  // Makes the claim the table's owner; with `take_over` an owner before it is fenced off and loses
  // its state. Conflict without: another job may have made the table since check_owner().
  Status own_table(const Claim& claim, bool take_over);
  // Before the key is made: a key that is not noted is the user's. Where one takes the place of
  // another, both, until it is done: whoever comes after a failure finds either of them.
  Status note_keys(const Claim& claim, const std::vector<std::vector<std::string>>& keys);
  Status store(const Claim& claim, const Writer::NewState& state);
  Status release(const Claim& claim);

  // A row that an earlier attempt or run rejected too is kept once, as the last one saw it.
  Status reject(const Claim& claim, const std::string& run_id, int attempt,
                std::span<const RejectedRow> rows);
  // A full load's rejected rows replace those of the loads, and of its own attempts, before it.
  Status forget_rejected(const Claim& claim);

 private:
  Result<bool> ended(const std::string& session);
  Status end(const std::string& session);
  std::string of(const Claim& claim) const;
  std::string mine(const Claim& claim) const;

  Connection& db_;
};

}  // namespace tidegate::engine::mysql
