#pragma once
// The columns that a collection was loaded with. Documents have no columns: what the loads so far
// brought is kept beside the collection's owner, so that a change in the source can be told.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mongodb/bson.h"
#include "engine/connectors/mongodb/connection.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mongodb {

struct LayoutColumn {
  std::string name;
  std::string type;  // in words a user knows; kNoValues until there was a value
};

struct CollectionLayout {
  bool exists = false, empty = true;
  std::string uuid;                   // 16 bytes; "": the server shows none
  std::vector<LayoutColumn> columns;  // empty: not known, any may come
  std::vector<std::string> key;       // that `_id` is made of
};

// A collection that is not there has no columns. Invalid: a view, or another thing that cannot be
// loaded.
Result<CollectionLayout> read_layout(Connection& db, const std::string& table);

// As it is kept; what read_layout() reads.
Doc describe_layout(const CollectionLayout& layout);
CollectionLayout described_layout(const bson_t& document);

struct LayoutChange {
  CollectionLayout after;
  std::vector<int> fields;  // of the load's schema, that are written
  std::vector<std::string> sentences;
};

// Invalid (`schema_change`): a change that is refused, a name that is no name of a field, a key
// that the documents do not have.
Result<LayoutChange> plan_layout(const std::string& table, const CollectionLayout& now,
                                 const LoadPlan& load);

}  // namespace tidegate::engine::mongodb
