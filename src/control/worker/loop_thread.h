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

  void start(std::function<Millis()> step);
  // The next step begins at once (or as soon as the current one has ended).
  void wake();
  // Lets the current step end, then joins. Idempotent.
  void stop();

 private:
  void run();

  std::function<Millis()> step_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false, stopping_ = false;  // guarded by mutex_
};

}  // namespace tidegate::worker
