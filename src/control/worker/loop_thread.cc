#include "control/worker/loop_thread.h"

#include <pthread.h>

#include <utility>

namespace tidegate::worker {

void LoopThread::start(const char* name, std::function<Millis()> step, Millis min_gap) {
  step_ = std::move(step);
  min_gap_ = min_gap;
  {
    const std::lock_guard lock(mutex_);  // wake() may come first
    stopping_ = woken_ = false;
  }
  thread_ = std::thread([this, name] { run(name); });
}

void LoopThread::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_one();
}

void LoopThread::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void LoopThread::run(const char* name) {
  pthread_setname_np(pthread_self(), name);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const auto began = std::chrono::steady_clock::now();
    const Millis wait = step_();
    lock.lock();
    changed_.wait_until(lock, began + min_gap_, [this] { return stopping_; });
    changed_.wait_for(lock, wait, [this] { return woken_ || stopping_; });
  }
}

}  // namespace tidegate::worker
