#include "app/sync/local_engine.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace tidegate::app {
namespace {

protocol::RunResult without_result(const launch::Exit& exit) {
  protocol::RunResult lost{.code = protocol::ExitCode::Failed, .error_kind = "internal"};
  lost.error =
      exit.not_started ? exit.not_started->message
      : exit.signal != 0
          ? fmt::format(
                "the engine was ended by signal {}; what it had committed is kept, run the "
                "command again",
                exit.signal)
          : fmt::format("the engine ended with code {} and no result; run the command again",
                        exit.code);
  return lost;
}

}  // namespace

// Waits for the engine's events, the clock of the bars and Ctrl-C.
protocol::RunResult LocalEngine::call(cli::Context& context, const protocol::Request& request,
                                      const Listener& listener) {
  std::mutex mutex;
  std::condition_variable ready;
  bool has_events = false;
  launcher_.on_ready([&] {
    const std::lock_guard lock(mutex);
    has_events = true;
    ready.notify_one();
  });
  const launch::LaunchId id = launcher_.start(request);
  std::optional<protocol::RunResult> result;
  bool cancelled = false;
  while (true) {
    {
      std::unique_lock lock(mutex);
      ready.wait_for(lock, std::chrono::milliseconds(100), [&] { return has_events; });
      has_events = false;
    }
    if (context.interrupted && context.interrupted->load() && !std::exchange(cancelled, true)) {
      context.io.err(listener.on_cancel);
      launcher_.cancel(id);
    }
    for (launch::LaunchEvent& event : launcher_.poll()) {
      if (auto* said = std::get_if<protocol::Event>(&event.what)) {
        if (auto* r = std::get_if<protocol::RunResult>(said)) {
          result = std::move(*r);
        } else if (listener.on_event) {
          listener.on_event(*said);
        }
        continue;
      }
      launcher_.on_ready({});
      const auto& exit = std::get<launch::Exit>(event.what);
      return result && !exit.not_started ? std::move(*result) : without_result(exit);
    }
    if (listener.on_tick) listener.on_tick();
  }
}

}  // namespace tidegate::app
