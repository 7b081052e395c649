#include "control/api/log_streams.h"

#include <chrono>

namespace tidegate::api {

LogStreams::LogStreams(store::Store& store) {
  subscription_ = store.watch([this](const store::Change& change) {
    if (change.kind == store::ChangeKind::Run) wake(change.id.empty() ? nullptr : &change.id);
  });
  thread_ = std::thread([this] { tick(); });
}

LogStreams::~LogStreams() { stop(); }

std::uint64_t LogStreams::add(const RunId& run, std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  streams_.emplace(++last_id_, std::pair(run.str(), std::move(wake)));
  changed_.notify_all();
  return last_id_;
}

void LogStreams::remove(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  streams_.erase(id);
}

void LogStreams::wake(const std::string* run) {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, stream] : streams_) {
    if (run == nullptr || stream.first == *run) stream.second();
  }
}

void LogStreams::tick() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    // Without streams there is nothing to wake: an idle server has no ticking thread.
    changed_.wait(lock, [&] { return stopped_ || !streams_.empty(); });
    changed_.wait_for(lock, std::chrono::seconds(1), [&] { return stopped_; });
    for (const auto& [id, stream] : streams_) stream.second();
  }
}

void LogStreams::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  subscription_.reset();
  if (thread_.joinable()) thread_.join();
}

bool LogStreams::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

}  // namespace tidegate::api
