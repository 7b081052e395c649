#include "app/serve/launch_engine.h"

namespace tidegate::app {
namespace {

class LaunchEngine final : public api::Engine {
 public:
  explicit LaunchEngine(launch::EngineClient& client) : client_(client) {}
  Result<std::shared_ptr<const boost::json::value>> spec() override { return client_.spec(); }
  Result<boost::json::value> check(protocol::Endpoint endpoint, bool source) override {
    return client_.check(std::move(endpoint), source);
  }
  Result<boost::json::value> discover(protocol::Endpoint endpoint, bool source) override {
    return client_.discover(std::move(endpoint), source);
  }

 private:
  launch::EngineClient& client_;
};

}  // namespace

std::unique_ptr<api::Engine> make_launch_engine(launch::EngineClient& client) {
  return std::make_unique<LaunchEngine>(client);
}

}  // namespace tidegate::app
