#pragma once
// A full load's rows in a collection of their own, which then takes the place of the old one by
// renameCollection: readers see all of the old rows or all of the new ones.
//
// No transaction covers a rename. So it is written down before (Intent) and its end after; the
// attempt after a crash between the two finds the stage's uuid in the collection's place, and
// completes the commit. Where it cannot tell, the load is done again, which is never wrong: the
// state that would ask for something else was not committed.

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/connectors/mongodb/connection.h"
#include "engine/connectors/mongodb/encoder.h"
#include "engine/connectors/mongodb/ledger.h"
#include "engine/core/claim.h"

namespace tidegate::engine::mongodb {

class Stage {
 public:
  // `cursor`: of two rows of one key the one with the greater cursor stays, else the later.
  Stage(Connection& db, const Claim& claim, std::string cursor, Rng& rng);

  // Drops what older attempts of the entity left. REQUIRES: the claim.
  static Status tidy(Connection& db, const Claim& claim);

  const std::string& name() const { return name_; }
  // Made like the collection that it is to replace: options, unique indexes.
  Status create();
  struct Put {
    std::int64_t superseded = 0;
    std::vector<Written::Refused> refused;  // by a unique index or a validator of the user's
  };
  Result<Put> insert(std::vector<DocumentEncoder::Row>& rows);
  // The other indexes, then the number of rows.
  Result<std::int64_t> seal();
  Result<std::string> uuid();
  Status take_place();
  Status drop();

 private:
  Result<std::vector<Doc>> indexes_of_target(bool unique);
  Status create_indexes(bool unique);
  Status put_again(const DocumentEncoder::Row& row);

  Connection& db_;
  const std::string table_, cursor_;
  std::string name_;
  bool created_ = false;
};

// What an attempt that died between announcing a stage and the end of its commit left: completed
// where the stage took its place, else undone. REQUIRES: the claim.
Status settle(Connection& db, Ledger& ledger, const Claim& claim, const Intent& intent);
// The second half of a commit by a stage. REQUIRES: the stage took its place.
Status complete(Connection& db, Ledger& ledger, const Claim& claim, const Intent& intent);

}  // namespace tidegate::engine::mongodb
