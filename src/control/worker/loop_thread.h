#pragma once
// A thread that calls a step, waits as long as the step says or until woken, and calls it again.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/time.h"

namespace tidegate::worker {

// Thread-safe but for start() and stop(), which one owner calls.
class LoopThread {
 public:
  ~LoopThread() { stop(); }

  // Two steps begin at least `min_gap` apart, so that a flood of wake() calls becomes few steps.
  // `name` (15 bytes at the most) is what top and gdb show.
  void start(const char* name, std::function<Millis()> step, Millis min_gap = Millis(0));
  // The next step begins at once (or as soon as the current one has ended).
  void wake();
  // Lets the current step end, then joins. Idempotent.
  void stop();

 private:
  void run(const char* name);

  std::function<Millis()> step_;
  Millis min_gap_{0};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false, stopping_ = false;  // guarded by mutex_
};

}  // namespace tidegate::worker
