#pragma once
// The store of the control plane. No transaction object, SQL or vendor type leaks through it: one
// operation is one method, atomic and durable when it returns. Implementations: memory (the
// reference), sqlite, postgres, mongo. All pass store/contract.

#include <memory>
#include <string>

#include "control/store/archive.h"
#include "control/store/history.h"
#include "control/store/jobs.h"
#include "control/store/queue.h"
#include "control/store/registry.h"
#include "control/store/types.h"

namespace tidegate::store {

// Differences that callers may ask about.
struct Capabilities {
  bool durable = true;         // survives the process
  bool shared = true;          // several processes may open it
  bool pushes_changes = true;  // watch() tells of other processes' writes at once (else: poll)
  // A step that changes several things happens whole or not at all. False (a standalone MongoDB):
  // its writes come one after another, in an order in which a repetition completes what a crash cut
  // short; counters of a job may then miss a run, and two steps at the same instant may each not
  // see the other. A slot's one outcome, one running attempt a job and fences hold all the same.
  bool atomic_steps = true;
  // Reads never wait for a network, so that a thread which must not block may make an indexed one.
  bool local_reads = false;
  std::string_view name;  // for messages only
};

// Ends the subscription when destroyed; after that the handler is not running and will not be
// called.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

// Thread-safe. Unavailable from any method: the store could not be reached or is locked; the effect
// of a write is then unknown and every write may be repeated safely.
class Store : public JobStore,
              public QueueStore,
              public HistoryStore,
              public RegistryStore,
              public ArchiveStore {
 public:
  virtual Capabilities capabilities() const = 0;
  virtual Result<Instant> now() = 0;  // the store's clock
  virtual Status ping() = 0;          // a cheap read
  // What an earlier request with this key made or changed: its id, nullopt when there was none;
  // Conflict `idempotency_mismatch`. For answers only: every write that takes the key checks again.
  virtual Result<std::optional<std::string>> find_replay(const Idempotency& once) = 0;
  // Calls `handler` for changes by this and, where pushed, other processes. Lifetime: the returned
  // object, which must not outlive the store.
  virtual std::unique_ptr<Subscription> watch(ChangeHandler handler) = 0;
};

}  // namespace tidegate::store
