#pragma once
// What every store must do the same way, as pure functions over the model: how an attempt begins
// and ends, what a job learns from it, the wording of errors, cursors and the log's budget. A store
// adds only how it finds and keeps the rows.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/archive.h"
#include "control/store/jobs.h"
#include "control/store/queue.h"
#include "control/store/types.h"

namespace tidegate::store::rules {

// The workspace `default`, which a new store holds. Fixed, so that two processes that create the
// store at once agree.
inline constexpr std::string_view kDefaultWorkspaceId = "01900000-0000-7000-8000-000000000001";
inline constexpr std::string_view kDefaultWorkspaceName = "default";
inline constexpr Millis kIdempotencyKept{86'400'000};
inline constexpr Millis kSilentWorkersKept{86'400'000};  // a killed one does not take its row along
inline constexpr std::size_t kAttemptsKept = 20;

// ---- fences
// Grows even after the wall clock stepped back: never less than previous + 1.
Fence next_fence(Fence previous, Instant now);
// The job's, when an attempt has ended: what the destination holds counts as an earlier one. What
// no clock can have given (a destination that somebody wrote into) is left alone.
Fence fence_after(Fence of_job, const AttemptEnd& end);

// ---- planning
// Takes out of the step what is about slots that have an outcome already; what is left applies. The
// job moves on: were such a step refused, it would be made again for ever.
void drop_known_slots(PlanStep& step, const std::set<Instant>& known);
// The instants of a step to look up for it.
std::set<Instant> slots_of(const PlanStep& step);
// What a planned or triggered run begins as.
model::Run new_run(const JobId& job, const WorkspaceId& workspace, std::int64_t revision,
                   const NewRun& added, Instant now);
// True when the step was decided on what is still so, and names no slot twice. `active`: the job's
// queued and running runs. The caller has checked that none of the step's runs exists.
bool step_applies(const PlanStep& step, std::int64_t revision,
                  const std::optional<Instant>& next_slot,
                  const std::map<RunId, model::RunState>& active);

// A queued run whose slot (else creation) lies so far ahead was queued before the wall clock
// stepped back: it is due, however long its not_before says it should wait.
inline constexpr Millis kAheadOfClock{60'000};

// ---- holding
// Whether a queued run may not start now: its schedule made it, and the job was paused or disabled
// since. What people start runs all the same.
bool is_held(bool enabled, const std::optional<model::Pause>& pause, model::Trigger trigger,
             Instant now);
// Whether a person may start a run beside the active ones of a job without overlap: all of them are
// held. Conflict `run_active` otherwise.
Status check_room(bool enabled, const std::optional<model::Pause>& pause,
                  std::span<const model::Run> active, Instant now);
inline constexpr std::string_view kReplacedBySlot = "a newer slot of the job took its place";
inline constexpr std::string_view kReplacedByHand = "a run that was started by hand took its place";

// ---- a run's life. REQUIRES: the caller has checked the state (check_move) and the fence.
// Internal when the transition table forbids it.
Status check_move(model::RunState from, model::RunState to);
void begin_attempt(model::Run& run, const OwnerId& owner, Fence fence, std::string exclusive_key,
                   Instant now);
// A requeue of a run that somebody asked to cancel ends it as cancelled.
void end_attempt(model::Run& run, const AttemptEnd& end, Instant now);
// Queued runs: another one took its place (kReplaced…); somebody cancelled it before it started.
void supersede(model::Run& run, std::string_view why, Instant now);
void cancel_queued(model::Run& run, Instant now);
// True when `end` was applied before (its reply was lost): the caller answers success again.
bool is_repeat(const model::Run& run, const AttemptEnd& end);

// ---- what a job learns
// From a run that ended. None of them: nothing but that there was one more.
struct Lesson {
  std::optional<Instant> success_at;
  std::optional<Millis> took;        // of a success
  std::optional<std::string> error;  // of a failure
};
// REQUIRES: run is terminal.
Lesson lesson_of(const model::Run& run);
void account(model::SyncJob& job, const model::Run& run);
using Committed = std::vector<std::pair<std::string, protocol::KnownState>>;
// A state of an epoch before the job's last reset is not kept.
void keep_states(model::SyncJob& job, const Committed& committed);
// Gives the job the next slot that a change of its schedule says. Conflict `slots_moved`.
Status move_next_slot(model::SyncJob& job, const Reschedule& change);
// True when a run pinned to `spec` may run beside another one of its job.
bool allows_overlap(const model::JobSpec& spec);
bool extends(const model::SlotRecord& newest, const model::SlotRecord& next);

// What an update replaces; the revision grows.
void replace(model::Connection& row, const model::Connection& with);

// ---- restoring
// The owner of the scheduler's lease while the store is filled from that archive.
OwnerId restore_owner(const std::string& archive);
bool is_restore(const OwnerId& owner);
inline constexpr Instant kForEver = from_ms(253'402'300'799'000);  // 9999-12-31T23:59:59Z
// What keeps a store from being filled, with what to do. Invalid, since no other try mends it, but
// for store_in_use: a Conflict, which the end of a server mends.
struct Contents {
  bool jobs = false, runs = false, slots = false, connections = false;
  bool workspaces = false;  // others than the one that a start makes
  bool tokens = false;      // others than those that starts make
};
Status check_empty(const Contents& contents);
std::unexpected<Error> store_in_use(const OwnerId& leader);
std::unexpected<Error> other_restore(const OwnerId& owner);
// ArchiveStore::check_whole(), of who has the scheduler's lease.
Status check_whole(const OwnerId& leader);
// Invalid: an active run among the records.
Status check_loadable(std::span<const ArchiveRecord> records);
bool made_at_start(const model::Token& token);

// ---- the log's budget
// What the lines count towards it.
std::int64_t log_bytes(std::span<const model::RunLogLine> lines);
struct LogTail {  // of what is kept already
  std::int64_t seq = 0;
  std::int64_t bytes = 0;
  bool full = false;  // the closing line was written
};
// The lines to keep, numbered; `tail` moves on.
std::vector<model::RunLogLine> fit_log(LogTail& tail, std::span<const model::RunLogLine> lines,
                                       std::size_t max_bytes, Instant now);

// ---- pages
std::size_t page_limit(const Page& page);  // clamped to 1–1000
// A page of runs ends after the one that reaches this, so that a list needs bounded memory: a run
// over a thousand entities has hundreds of kilobytes.
inline constexpr std::size_t kPageBytes = 4 << 20;
// A list that was read with one item more than `limit`, where there is one: `cursor` makes the next
// page's out of the last item.
template <class T, class Cursor>
void end_page(Listing<T>& list, std::size_t limit, Cursor&& cursor) {
  if (list.items.size() <= limit) return;
  list.items.pop_back();
  list.next_cursor = cursor(list.items.back());
}
// The cursors of the lists that are sorted by name, by creation and by slot.
std::string name_cursor(std::string_view kind, const std::string& name, const std::string& id);
std::string run_cursor(const model::Run& last);
std::string slot_cursor(const model::LedgerEntry& last);
std::string encode_cursor(std::string_view kind, std::initializer_list<std::string_view> parts);
// Malformed when it is not a cursor of that kind with so many parts; nullopt without a cursor.
Result<std::optional<std::vector<std::string>>> decode_cursor(const Page& page,
                                                              std::string_view kind,
                                                              std::size_t parts);
Result<std::int64_t> cursor_int(const std::string& part);
// Substring, ASCII letters alike.
bool contains_ignoring_case(std::string_view text, std::string_view part);

// ---- errors, in the words of the API
std::unexpected<Error> job_not_found(const JobId& id);
std::unexpected<Error> run_not_found(const RunId& id);
std::unexpected<Error> workspace_not_found(const std::string& id);
std::unexpected<Error> connection_not_found(model::ConnectionKind kind, const ConnectionId& id);
std::unexpected<Error> token_not_found(const TokenId& id);
std::unexpected<Error> token_exists();
std::unexpected<Error> name_taken(std::string_view what, const std::string& name);
std::unexpected<Error> connection_name_taken(const model::Connection& connection);
std::unexpected<Error> stale_revision(std::int64_t current);
std::unexpected<Error> setting_changed(const std::string& name);
std::unexpected<Error> idempotency_mismatch();
std::unexpected<Error> run_active(const RunId& active);
std::unexpected<Error> slots_moved();
std::unexpected<Error> run_ended(const model::Run& run);
std::unexpected<Error> connection_in_use(const std::vector<std::string>& jobs);
std::unexpected<Error> workspace_not_empty();
std::unexpected<Error> leader_fenced();
std::unexpected<Error> run_fenced(const RunId& id);
// Invalid with one detail for each reference that does not hold; ok when both do.
Status check_references(bool source_ok, bool destination_ok, const model::JobSpec& spec);

}  // namespace tidegate::store::rules
