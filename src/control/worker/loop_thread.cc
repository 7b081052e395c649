#include "control/worker/loop_thread.h"

#include <utility>

namespace tidegate::worker {

void LoopThread::start(std::function<Millis()> step) {
  step_ = std::move(step);
  {
    const std::lock_guard lock(mutex_);  // wake() may come first
    stopping_ = woken_ = false;
  }
  thread_ = std::thread([this] { run(); });
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

void LoopThread::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const Millis wait = step_();
    lock.lock();
    changed_.wait_for(lock, wait, [this] { return woken_ || stopping_; });
  }
}

}  // namespace tidegate::worker
