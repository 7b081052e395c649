#pragma once
// Threads for handlers that may block, with a bounded queue.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tidegate::http {

// Thread-safe. Tasks must not throw.
class WorkerPool {
 public:
  WorkerPool(std::size_t threads, std::size_t max_queue);
  ~WorkerPool() { stop(); }

  // false: the queue is full or the pool has stopped; the task was not taken.
  bool submit(std::move_only_function<void()> task);
  void start();
  // Waits for running tasks and drops the waiting ones. Idempotent.
  void stop();

 private:
  void work();

  const std::size_t threads_, max_queue_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::move_only_function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace tidegate::http
