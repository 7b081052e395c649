#pragma once
// What a source offers, and what is asked of it.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/cursor.h"

namespace tidegate::engine {

// One table or file of a source. Names are shown to users as they are written in the source.
//
// Schema: types are what the rows will really have, not a guess that may fail half way. JSON values
// are utf8 fields marked with mark_json(), because the engine's connectors agree on the text.
struct EntityInfo {
  std::string name;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<std::string> primary_key;        // empty: the source declares none
  std::vector<std::string> cursor_candidates;  // columns that can be compared and may only grow
  std::vector<std::string> key_candidates;     // columns of which each alone looks unique
  std::optional<std::int64_t> rows;            // exact or estimated
  std::vector<std::string> warnings;
};

// A source that holds one bad entity among good ones lists the good ones and says why the bad one
// cannot be read: one entity never stops the others.
struct BadEntity {
  std::string name;
  Error error;
};

struct Catalog {
  std::vector<EntityInfo> entities;
  std::vector<BadEntity> bad;
  std::vector<std::string> others;  // names that were not wanted, so nobody looked into them
};

// Which entities are looked into; empty: all.
using Wanted = std::function<bool(const std::string& name)>;

// REQUIRES: columns and cursor exist in the entity's schema.
struct ReadParams {
  std::string entity;
  std::vector<std::string> columns;  // in this order
  // Every one must hold. In the source's own language; Unsupported where it has none.
  std::vector<std::string> where;
  std::optional<std::string> cursor;
  // Rows with cursor < from or > to are not wanted; rows whose cursor is NULL always are. Only a
  // hint: a source may send more, the engine drops the rest. It may never send less.
  std::optional<CursorValue> from, to;
  // At most this many rows are wanted; the engine stops reading after them.
  std::optional<std::int64_t> limit;
};

// A part of an entity that is read on its own, in the order of plan().
struct Partition {
  std::string token;                 // the connector's own text
  std::optional<std::int64_t> rows;  // expected
};

}  // namespace tidegate::engine
