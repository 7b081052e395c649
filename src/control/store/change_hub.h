#pragma once
// Subscribers of Store::watch within one process. Thread-safe.

#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "control/store/store.h"

namespace tidegate::store {

class ChangeHub {
 public:
  ChangeHub() : state_(std::make_shared<State>()) {}

  std::unique_ptr<Subscription> subscribe(ChangeHandler handler);
  // Calls every handler for every change, on this thread. REQUIRES: no handler calls back.
  void publish(std::span<const Change> changes);

 private:
  struct State {
    std::mutex mutex;
    std::map<int, ChangeHandler> handlers;
    int next = 0;
  };
  class Entry;
  // Shared with the subscriptions, so that one may end after the hub.
  std::shared_ptr<State> state_;
};

}  // namespace tidegate::store
