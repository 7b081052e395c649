#pragma once
// The store over MongoDB 5.0 or newer: many API servers and workers on many hosts. On a replica set
// (or sharded cluster) every step is a transaction and changes are pushed; on a standalone server a
// step is a sequence of conditional writes and changes are polled. docs: README.md beside this
// file.

#include <functional>
#include <memory>
#include <string>

#include "base/rng.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::store {

struct MongoOptions {
  Secret uri;            // mongodb://… or mongodb+srv://…, with the driver's options (TLS, pool, …)
  std::string database;  // empty: the one that the URI names, else `tidegate`
  Millis poll_interval{1000};  // for changes, where the server cannot push them
  // For the answer to one command, before the connection counts as lost, unless the URI says
  // socketTimeoutMS: one that leads nowhere must not hold a renewal up until its lease has ended.
  Millis answer_timeout{10'000};
  // What time it is to the store; none: the server's clock.
  std::function<Result<Instant>()> now;
};

// Shortens what must end before a lease of this TTL has.
void fit_to_lease(MongoOptions& options, Millis ttl);

// Opens the database, creates or migrates collections and indexes. Invalid: a newer schema, a
// database of something else, too old a server, a bad URI (nothing is written then); Forbidden:
// refused credentials or missing privileges, each named; Unavailable, within seconds: nobody
// answers. Messages name hosts, database and remedy, never the password. `clock` only measures how
// long ago the server was asked; `rng` spreads retries. REQUIRES: both outlive the store.
Result<std::unique_ptr<Store>> open_mongo_store(const MongoOptions& options, const Clock& clock,
                                                Rng& rng);

// The version of what lies there; nothing is written. Errors as open_mongo_store.
Result<SchemaState> mongo_schema(const MongoOptions& options);

}  // namespace tidegate::store
