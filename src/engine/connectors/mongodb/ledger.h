#pragma once
// What Tidegate keeps in a destination database beside the data: fences, states, owners of
// collections, rejected rows. The steps of the commit protocol (docs/protocol.md, "Commit") stand
// here and nowhere else.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "engine/connectors/mongodb/connection.h"
#include "engine/connectors/mongodb/layout.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"

namespace tidegate::engine::mongodb {

// A full load's stage that is about to take its collection's place: written down before, because no
// transaction covers a rename.
struct Intent {
  std::string stage, uuid;                // of the stage; the rename keeps the uuid
  std::optional<Writer::NewState> state;  // that comes with it
  CollectionLayout layout;
};

// One entity's record as it lies there.
struct Record {
  StoredState stored;
  std::optional<Intent> intent;
  std::string unfinished;  // 8 bytes: first ones of the `_id`s of appended rows without a commit
};

class Ledger {
 public:
  explicit Ledger(Connection& db) : db_(db) {}

  // All are safe in a database that has no collection of Tidegate's yet.
  Result<std::string> destination_id();
  Result<std::optional<Record>> read(const std::string& job, const std::string& entity);
  // Conflict unless the collection is free, this job's entity's own, or `take_over`.
  Status check_owner(const Claim& claim, bool take_over);
  Status create_collections(const Clock& clock, Rng& rng);
  // Fenced when a newer attempt holds it.
  Status claim(const Claim& claim, const Context& context);

  // The steps of a commit, in a transaction where the server has them.
  // The first of each: writes the record, which no second transaction can, and compares the fence.
  // Fenced; Unavailable: the record is gone, and it is another database by now.
  Status lock_fence(const Claim& claim);
  // Makes the claim the collection's owner; with `take_over` an owner before it is fenced off,
  // loses its state and is a former one.
  Status own_table(const Claim& claim, bool take_over);
  // Owners whose stages may still be there: the last fence that each had. A fence stops no rename.
  Result<std::vector<Claim>> former_owners(const Claim& claim);
  Status forget_former_owners(const Claim& claim);
  Status set_layout(const Claim& claim, const CollectionLayout& layout);
  // The state, and the end of an intent or an unfinished append; nullopt ends these alone.
  Status store(const Claim& claim, const std::optional<Writer::NewState>& state);
  Status announce(const Claim& claim, const Intent& intent);
  Status announce_append(const Claim& claim, std::string_view first_bytes);
  Status release(const Claim& claim);

  // A row that an earlier attempt or run rejected too is kept once, as the last one saw it.
  // `stage`: they count when it has taken its collection's place (settle_rejected), "": at once.
  Status reject(const Claim& claim, const std::string& run_id, int attempt,
                std::span<const RejectedRow> rows, const std::string& stage = "");
  // The stage's rejected rows take the place of all others of the entity, or are forgotten.
  Status settle_rejected(const Claim& claim, const std::string& stage, bool placed);
  Status forget_rejected(const Claim& claim);

 private:
  Result<bool> exists();
  Status make_collections();
  static Doc mine(const Claim& claim);

  Connection& db_;
};

}  // namespace tidegate::engine::mongodb
