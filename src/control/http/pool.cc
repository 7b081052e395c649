#include "control/http/pool.h"

#include <utility>

namespace tidegate::http {

WorkerPool::WorkerPool(std::size_t threads, std::size_t max_queue)
    : threads_(threads), max_queue_(max_queue) {}

void WorkerPool::start() {
  const std::lock_guard lock(mutex_);
  while (workers_.size() < threads_) workers_.emplace_back([this] { work(); });
}

bool WorkerPool::submit(std::move_only_function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= max_queue_) return false;
    queue_.push_back(std::move(task));
  }
  ready_.notify_one();
  return true;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    auto task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds is released before the lock is taken
    lock.lock();
  }
}

void WorkerPool::stop() {
  std::deque<std::move_only_function<void()>> dropped;
  std::vector<std::thread> workers;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    workers.swap(workers_);
  }
  ready_.notify_all();
  for (std::thread& t : workers) t.join();
}

}  // namespace tidegate::http
