// What rules.h says of restoring.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/store/rules.h"

namespace tidegate::store::rules {
namespace {

constexpr std::string_view kRestore = "restore:";

}  // namespace

OwnerId restore_owner(const std::string& archive) {
  return OwnerId(std::string(kRestore) + archive);
}

bool is_restore(const OwnerId& owner) { return owner.str().starts_with(kRestore); }

bool made_at_start(const model::Token& token) {
  return token.created_by.starts_with(model::kBootstrap);
}

Status check_empty(const Contents& contents) {
  std::vector<std::string_view> found;
  const auto add = [&](bool some, std::string_view what) {
    if (some) found.push_back(what);
  };
  add(contents.jobs, "jobs");
  add(contents.runs, "runs");
  add(contents.slots, "slot records");
  add(contents.connections, "data sources or destinations");
  add(contents.workspaces, "workspaces");
  add(contents.tokens, "tokens");
  if (found.empty()) return {};
  return fail(Code::Invalid,
              fmt::format("the store is not empty: it has {}. A backup is restored into an empty "
                          "store only; name another one with --store, or empty this one. Nothing "
                          "was changed",
                          fmt::join(found, ", ")),
              "store_not_empty");
}

std::unexpected<Error> store_in_use(const OwnerId& leader) {
  return fail(
      Code::Conflict,
      fmt::format("a server works on this store (its leader is {}); stop every server of it "
                  "first. Nothing was changed",
                  leader.str()),
      "store_in_use");
}

std::unexpected<Error> other_restore(const OwnerId& owner) {
  return fail(Code::Invalid,
              fmt::format("a restore of another backup into this store did not come to its end "
                          "({}); repeat that one, or empty the store. Nothing was changed",
                          owner.str()),
              "other_restore");
}

Status check_whole(const OwnerId& leader) {
  if (!is_restore(leader)) return {};
  return fail(
      Code::Invalid,
      fmt::format("a restore into this store goes on or was left in the middle ({}): what it "
                  "holds is not whole, and nothing of it is planned; stop the servers of "
                  "this store and repeat the same `tidegate restore`, or empty the store",
                  leader.str()),
      "restore_unfinished");
}

Status check_loadable(std::span<const ArchiveRecord> records) {
  for (const ArchiveRecord& record : records) {
    const auto* run = std::get_if<model::Run>(&record);
    if (run == nullptr || model::is_terminal(run->state)) continue;
    return fail(Code::Invalid,
                fmt::format("run {} is {}: only runs that have ended can be loaded", run->id.str(),
                            model::kRunStateNames[static_cast<std::size_t>(run->state)]));
  }
  return {};
}

}  // namespace tidegate::store::rules
