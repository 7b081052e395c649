#pragma once
// Which entities and columns a run means. Pure.

#include <optional>
#include <string>
#include <vector>

#include "engine/core/catalog.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// One thing a run was asked for: an entity of the catalog, or a reason why not.
struct Selected {
  std::string name;                  // the entity, or the pattern that matched nothing
  const EntityInfo* info = nullptr;  // into the catalog
  std::optional<Error> error;        // without info
  std::string note;                  // without both: why there is nothing to do
};

// What `run` means, for Source::discover().
Wanted wanted_by(const protocol::RunSpec& run);

// In the catalog's order. Every pattern of the filter and every one of RunSpec::only_entities is
// honoured; one that matches nothing becomes an error that names what there is, as does an entity
// that two names of the destination would share.
std::vector<Selected> select_entities(const Catalog& catalog, const protocol::RunSpec& run);

// The options of an entity: an exact name wins over globs; of several globs the first by name.
protocol::EntityOptions options_for(const protocol::RunSpec& run, const std::string& entity);

// The columns to read, in the source's order. Invalid: a name that the entity does not have, or
// none left.
Result<std::vector<std::string>> select_columns(const EntityInfo& entity,
                                                const protocol::EntityOptions& options);

// `"a", "b" and 3 more`
std::string name_list(const std::vector<std::string>& names, std::size_t max = 20);

}  // namespace tidegate::engine
