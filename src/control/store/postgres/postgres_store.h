#pragma once
// The store of many machines: one PostgreSQL (13 or newer) that a team already runs. docs:
// README.md beside this file.

#include <memory>
#include <string>

#include "base/rng.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::store {

struct PostgresOptions {
  // postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=…; all of libpq's
  // parameters count. The tables lie in the first schema of the search_path that exists
  // (`options=-csearch_path%3Dname`).
  Secret url;
  std::size_t connections = 10;   // at the most; one more for the change feed
  Millis connect_timeout{5'000};  // to one host, unless the URL says connect_timeout
  // For the server's answer, before the connection counts as lost: one that leads nowhere must not
  // hold a renewal up until its lease has ended. Lists may take as long as a statement.
  Millis answer_timeout{10'000};
  Millis statement_timeout{30'000};
  Millis lock_timeout{5'000};  // for a row, and for a connection of the pool
  // A process frozen inside a transaction loses it after so long; not above the leader lease's TTL.
  Millis idle_in_transaction_timeout{5'000};
};

// Shortens what must end before a lease of this TTL has: rows that a frozen process holds
// are free when somebody takes over, and a renewal on a dead connection is tried on another one.
void fit_to_lease(PostgresOptions& options, Millis ttl);

// Connects, checks and migrates. Invalid, with nothing written: a URL, user, password or database
// that is wrong, too old a server, a newer schema, tables of something else, missing privileges
// (each named); Unavailable: not reachable now. Messages name the server and the remedy, never the
// password. REQUIRES: rng outlives the store; it gives jitter and the name of this process.
Result<std::unique_ptr<Store>> open_postgres_store(const PostgresOptions& options, Rng& rng);

// The version of what lies there; nothing is written. Errors as open_postgres_store.
Result<SchemaState> postgres_schema(const PostgresOptions& options);

}  // namespace tidegate::store
