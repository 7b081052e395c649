#pragma once
// The numbered migrations of the PostgreSQL store, and what is looked at before one runs.

#include <span>
#include <string>
#include <string_view>

#include "control/store/postgres/session.h"

namespace tidegate::store::postgres {

struct Migration {
  int version;
  std::string_view name;
  const char* sql;
};
// In order. A later one only adds, so that servers of the version before go on beside it.
std::span<const Migration> migrations();
// Tables, views and functions that the newest version has.
std::span<const std::string_view> relations();

// The schema that the URL chose, checked and brought up to date. Invalid, with nothing written: a
// server of another encoding, no schema, a newer version, relations of something
// else under our names, privileges that are missing (each is named).
Result<std::string> prepare_schema(Session& db, const Target& target);

// The version that lies there, 0: none; only looks. Errors as prepare_schema, as far as they can be
// found without writing.
Result<int> present_version(Session& db, const Target& target);

}  // namespace tidegate::store::postgres
