#include "engine/core/outcome.h"

#include <arrow/type.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "engine/core/context.h"

namespace tidegate::engine {

using protocol::EntityOutcome;
using protocol::EntityResult;
using protocol::ExitCode;
using protocol::RunResult;

RunResult failed(const Error& error) {
  RunResult r;
  r.error_kind = error_kind(error);
  r.error = error_text(error);
  r.code = exit_code(*r.error_kind);
  return r;
}

EntityResult failed_entity(const std::string& name, const Error& error) {
  EntityResult r;
  r.entity = name;
  r.outcome = EntityOutcome::Failed;
  r.error_kind = error_kind(error);
  r.error = error_text(error);
  return r;
}

EntityResult skipped_entity(const std::string& name, std::string why) {
  EntityResult r;
  r.entity = name;
  r.outcome = EntityOutcome::Skipped;
  r.warnings.push_back(std::move(why));
  return r;
}

bool skipped_without_columns(const EntityInfo& info, std::size_t selected) {
  return info.schema->num_fields() == 0 && selected > 1;
}

EntityResult without_columns(const EntityInfo& info) {
  EntityResult r;
  r.entity = info.name;
  r.outcome = EntityOutcome::Skipped;
  r.warnings = info.warnings;
  r.warnings.emplace_back("it was skipped; a table that it had before is left as it is");
  return r;
}

std::string superseded_words(std::int64_t rows, const std::vector<std::string>& key) {
  return fmt::format(
      "{} row(s) share their key ({}) with another row of this run, and of each key only the last "
      "row is kept (with a cursor, the one with its greatest value). If they are rows of their "
      "own, "
      "choose key columns that are unique together (--key, or `primaryKey` of the entity)",
      rows, fmt::join(key, ", "));
}

void summarize(RunResult& r) {
  static constexpr std::string_view kOrder[] = {"fenced",     "cancelled",    "rate_limited",
                                                "transient",  "internal",     "data",
                                                "permission", "configuration"};
  std::size_t failures = 0;
  const EntityResult* worst = nullptr;
  std::size_t rank = std::size(kOrder);
  for (const EntityResult& e : r.entities) {
    if (!e.error_kind) continue;
    ++failures;
    const auto at = static_cast<std::size_t>(std::ranges::find(kOrder, *e.error_kind) - kOrder);
    if (at < rank) {
      rank = at;
      worst = &e;
    }
  }
  if (worst == nullptr) return;
  r.error_kind = worst->error_kind;
  r.code = exit_code(*worst->error_kind);
  r.error = failures == 1 && r.entities.size() == 1
                ? *worst->error
                : fmt::format("{} of {} entities did not finish: {}", failures, r.entities.size(),
                              *worst->error);
}

ExitCode exit_code(std::string_view kind) {
  if (kind == "configuration") return ExitCode::Configuration;
  if (kind == "transient" || kind == "rate_limited") return ExitCode::Retryable;
  if (kind == "cancelled") return ExitCode::Cancelled;
  if (kind == "fenced") return ExitCode::Fenced;
  return ExitCode::Failed;
}

}  // namespace tidegate::engine
