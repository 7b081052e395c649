#include "engine/core/queue.h"

namespace tidegate::engine {

bool BatchQueue::push(ReadBatch batch, std::int64_t bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return left_ || items_.empty() ||
           (items_.size() < max_batches_ && bytes_ + bytes <= max_bytes_);
  });
  if (left_) return false;
  items_.push_back({std::move(batch), bytes});
  bytes_ += bytes;
  changed_.notify_all();
  return true;
}

void BatchQueue::finish(Status status) {
  const std::scoped_lock lock(mutex_);
  end_ = std::move(status);
  changed_.notify_all();
}

Result<std::optional<ReadBatch>> BatchQueue::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !items_.empty() || end_; });
  if (items_.empty()) {
    if (!*end_) return fail(end_->error());
    return std::nullopt;
  }
  Item item = std::move(items_.front());
  items_.pop_front();
  bytes_ -= item.bytes;
  changed_.notify_all();
  return std::move(item.batch);
}

void BatchQueue::leave() {
  const std::scoped_lock lock(mutex_);
  left_ = true;
  changed_.notify_all();
}

}  // namespace tidegate::engine
