#pragma once
// Wakes open log streams: when the store says that their run changed, and once a second, since a
// change feed is a hint and lines of other processes may come without one.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "control/store/store.h"

namespace tidegate::api {

// Thread-safe.
class LogStreams {
 public:
  // REQUIRES: store outlives this.
  explicit LogStreams(store::Store& store);
  ~LogStreams();  // stop()

  // `wake` is called from any thread, until remove(); it must not block.
  std::uint64_t add(const RunId& run, std::function<void()> wake);
  void remove(std::uint64_t id);
  // Wakes every stream a last time; they then see stopped() and end. Joins. Idempotent.
  void stop();
  bool stopped() const;

 private:
  void tick();
  void wake(const std::string* run);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::pair<std::string, std::function<void()>>> streams_;  // guarded
  std::uint64_t last_id_ = 0;                                                       // guarded
  bool stopped_ = false;                                                            // guarded
  std::unique_ptr<store::Subscription> subscription_;
  std::thread thread_;
};

}  // namespace tidegate::api
