#include "control/store/change_hub.h"

#include <utility>

namespace tidegate::store {

class ChangeHub::Entry final : public Subscription {
 public:
  Entry(std::shared_ptr<State> state, int id) : state_(std::move(state)), id_(id) {}
  // Taking the mutex waits for a publish under way: afterwards the handler does not run.
  ~Entry() override {
    const std::scoped_lock lock(state_->mutex);
    state_->handlers.erase(id_);
  }

 private:
  std::shared_ptr<State> state_;
  int id_;
};

std::unique_ptr<Subscription> ChangeHub::subscribe(ChangeHandler handler) {
  const std::scoped_lock lock(state_->mutex);
  const int id = state_->next++;
  state_->handlers.emplace(id, std::move(handler));
  return std::make_unique<Entry>(state_, id);
}

void ChangeHub::publish(std::span<const Change> changes) {
  if (changes.empty()) return;
  const std::scoped_lock lock(state_->mutex);
  for (const auto& [id, handler] : state_->handlers) {
    for (const Change& change : changes) handler(change);
  }
}

}  // namespace tidegate::store
