#pragma once
// What a server and a database must be, and the collections, views and indexes that the store
// makes.

#include <optional>
#include <string>
#include <vector>

#include "control/store/mongo/client.h"

namespace tidegate::store::mongo {

// The version this binary writes.
int newest_schema();

struct ServerFacts {
  bool replicated = false;  // a replica set or sharded cluster: transactions, change streams
};
// Invalid: the server is too old; Forbidden: each missing privilege is named. Reads only.
Result<ServerFacts> inspect(Conn& conn, const Pool& pool);

// What `hello` says of the server; Invalid: it is too old.
Result<ServerFacts> facts_from(const bj::object& hello, const std::string& name);

// The actions that the store needs and the answer to connectionStatus {showPrivileges} does not
// list, in the order of the manual. None when nobody is authenticated (the server asks for nothing)
// or the server does not tell.
std::vector<std::string> missing_privileges(const bj::object& connection_status,
                                            const std::string& database, bool replicated);

// The version of what lies there; nullopt: nothing, 0: begun. Invalid: a newer one, or something
// else.
Result<std::optional<int>> present_version(Conn& conn, const Pool& pool);

// Creates what is missing. Safe while others do the same. Invalid, with nothing written: a newer
// schema, or a database of something else.
Status migrate(Conn& conn, const Pool& pool, Instant now);

}  // namespace tidegate::store::mongo
