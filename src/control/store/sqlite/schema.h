#pragma once
// The numbered migrations of the SQLite store.

#include "base/time.h"
#include "control/store/sqlite/db.h"

namespace tidegate::store::sqlite {

// The version this binary writes.
int newest_schema();
// The version in the file; 0: empty. Invalid when the file is a database of something else.
Result<int> schema_version(Db& db);
// Invalid, with nothing written, when the file was made by a newer Tidegate.
Status check_schema(int found, const std::string& path);
// Brings the schema up to date. REQUIRES: inside a write transaction.
Status migrate(Db& db, Instant now);

}  // namespace tidegate::store::sqlite
