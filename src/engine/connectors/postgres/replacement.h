#pragma once
// A full load into a table of its own, which takes the place of the old one when it is whole.
//
// It is twice as fast as replacing the rows of a table, and readers are not disturbed either; but
// the old table goes, so it is a way only where nothing but rows, the key, grants and comments
// hangs on it. Rows are copied with FREEZE: a reader whose snapshot is older than the load sees
// the whole new table, and not an empty one.

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "engine/connectors/postgres/connection.h"
#include "engine/connectors/postgres/layout.h"
#include "engine/connectors/postgres/ledger.h"

namespace tidegate::engine::postgres {

class Replacement {
 public:
  // nullopt: it may be replaced as a whole. Else what hangs on it, for people.
  static Result<std::optional<std::string>> obstacle(Connection& db, const Place& place,
                                                     const TableLayout& now,
                                                     const LayoutChange& change);
  // Drops what attempts of this claim left behind that were killed.
  static Status tidy(Connection& db, const Place& place, const Claim& claim);

  // REQUIRES: db outlives this and is in no transaction.
  Replacement(Connection& db, Place place, const Claim& claim);

  // Begins a transaction and makes the empty table in it.
  Status create(const TableLayout& now, const LayoutChange& change);
  // `"schema"."name"`, for COPY … (FORMAT binary, FREEZE).
  std::string table() const;
  // The rows have come: makes the key, of rows of one key keeps one (`drop_twins` is a statement
  // that deletes the others), and commits. How many were dropped.
  Result<std::int64_t> seal(const LayoutChange& change, const std::string& drop_twins);

  // REQUIRES: a transaction that holds the fence; seal() was called. False, with the transaction as
  // it was before: somebody reads the old table all the time, or something hangs on it by now.
  Result<bool> take_place(const TableLayout& now, const LayoutChange& change,
                          const std::stop_token& stop);
  // REQUIRES: as above. The rows are copied into the old table, which stays.
  Status copy_rows(const LayoutChange& change);
  Status drop();

 private:
  std::string key_name() const;
  Result<bool> lock_old(const std::stop_token& stop);
  Status copy_grants();
  Status copy_comments();
  Status run_all(std::string_view query);

  Connection& db_;
  const Place place_;  // of the old table
  const Place own_;
  bool twins_ = false;  // an older snapshot would see those that were dropped
};

}  // namespace tidegate::engine::postgres
