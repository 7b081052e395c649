#pragma once
// Hands batches from the reading to the writing thread and bounds what lies between them.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "engine/core/source.h"

namespace tidegate::engine {

// One producer, one consumer.
class BatchQueue {
 public:
  BatchQueue(std::size_t max_batches, std::int64_t max_bytes)
      : max_batches_(max_batches), max_bytes_(max_bytes) {}

  // Waits for room (a single batch always fits). False: the consumer has left; stop reading.
  bool push(ReadBatch batch, std::int64_t bytes);
  // No more batches; `status` is what pop() says after the last.
  void finish(Status status);

  // Waits for a batch; nullopt after the last.
  Result<std::optional<ReadBatch>> pop();
  // The consumer leaves: the producer's push() returns false.
  void leave();

 private:
  struct Item {
    ReadBatch batch;
    std::int64_t bytes;
  };

  const std::size_t max_batches_;
  const std::int64_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::int64_t bytes_ = 0;
  std::optional<Status> end_;
  bool left_ = false;
};

}  // namespace tidegate::engine
