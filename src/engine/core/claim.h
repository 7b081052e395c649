#pragma once
// What the ledgers of all destination databases have in common: who holds the fence of one entity,
// what is stored for it, and how a user is told that somebody else is in the way.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/destination.h"

namespace tidegate::engine {

// Who holds the fence of one entity.
struct Claim {
  std::string job, entity, table;
  std::int64_t fence = 0;
  std::string session;  // names the writer, so that a later attempt can end it
};

struct StoredState {
  std::int64_t fence = 0, epoch = 0, sequence = 0;
  std::string state, session;
};

// The fence of an attempt: the plan's, or without a server the next one.
std::int64_t fence_of(const WritePlan& plan, const std::optional<StoredState>& stored);

// Whether the table is there and has rows is the caller's to add.
WriterState writer_state(const Claim& claim, std::string destination_id,
                         const std::optional<StoredState>& stored);

// Fenced: a newer attempt writes the entity.
Error fenced(const Claim& claim);
// Conflict, `table_owned`: the table is another job's.
Error table_owned(const Claim& claim, std::string_view job, std::string_view entity);
// Conflict, `table_foreign`: it holds rows of somebody else.
Error table_foreign(const Claim& claim);

}  // namespace tidegate::engine
