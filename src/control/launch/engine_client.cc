#include "control/launch/engine_client.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <condition_variable>
#include <csignal>
#include <utility>

namespace tidegate::launch {
namespace {

constexpr Millis kEndLimit{5'000};  // for the exit of a child that was killed

// Changes whenever the binary is replaced; empty: it is not there.
std::string file_identity(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return {};
  return fmt::format("{}:{}:{}:{}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

Code code_of(const protocol::RunResult& result) {
  switch (result.code) {
    case protocol::ExitCode::Retryable:
      return Code::Unavailable;
    case protocol::ExitCode::Cancelled:
      return Code::Cancelled;
    case protocol::ExitCode::Configuration:
      return Code::Invalid;
    default:
      return result.error_kind == "internal" ? Code::Internal : Code::Invalid;
  }
}

protocol::Request question(protocol::RequestKind kind, const EngineClientOptions& options) {
  protocol::Request request;
  request.kind = kind;
  request.path_roots = options.path_roots;
  request.forbidden_paths = options.forbidden_paths;
  return request;
}

}  // namespace

// Shared with the sink: the caller may be gone when the child's exit arrives.
struct EngineClient::Call {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<protocol::RunResult> result;  // guarded by mutex, as all below
  std::string last_error_line;
  std::optional<Exit> exit;
  bool stopped = false;

  void take(std::variant<protocol::Event, Exit> what) {
    const std::lock_guard lock(mutex);
    if (auto* ended = std::get_if<Exit>(&what)) {
      exit = std::move(*ended);
      changed.notify_all();
      return;
    }
    auto& event = std::get<protocol::Event>(what);
    if (auto* answer = std::get_if<protocol::RunResult>(&event)) result = std::move(*answer);
    if (auto* line = std::get_if<protocol::LogLine>(&event);
        line && line->level >= LogLevel::Warn) {
      last_error_line = std::move(line->message);
    }
  }
};

EngineClient::EngineClient(ChildHost& host, EngineClientOptions options)
    : host_(host), options_(std::move(options)) {}
EngineClient::~EngineClient() = default;

Result<protocol::RunResult> EngineClient::ask(const protocol::Request& request, Millis limit) {
  if (!places_.try_acquire_for(options_.queue_limit)) {
    return fail(
        Code::RateLimited,
        fmt::format("{} checks and discoveries are running: try again in a few seconds", kAtOnce),
        "too_many_checks");
  }
  struct Place {
    std::counting_semaphore<kAtOnce>& places;
    ~Place() { places.release(); }
  } const place{places_};

  auto call = std::make_shared<Call>();
  const LaunchId id = host_.launch(
      {}, protocol::encode(request),
      [call](LaunchId, std::variant<protocol::Event, Exit> what) { call->take(std::move(what)); });
  const std::stop_callback on_stop(stop_.get_token(), [call] {
    const std::lock_guard lock(call->mutex);
    call->stopped = true;
    call->changed.notify_all();
  });

  std::unique_lock lock(call->mutex);
  const bool in_time =
      call->changed.wait_for(lock, limit, [&] { return call->exit.has_value() || call->stopped; });
  if (!call->exit) {
    const bool stopped = call->stopped;
    lock.unlock();
    host_.signal(id, SIGKILL);  // a question holds nothing that a checkpoint could save
    lock.lock();
    call->changed.wait_for(lock, kEndLimit, [&] { return call->exit.has_value(); });
    if (stopped) return fail(Code::Unavailable, "the server is stopping", "stopping");
    if (!in_time) {
      return fail(Code::Unavailable,
                  fmt::format("the engine gave no answer within {}: is the other side reachable?",
                              format_duration(limit)),
                  "engine_timeout");
    }
  }
  if (call->exit->not_started) {
    Error error = *call->exit->not_started;
    // Not the client's doing, and whoever runs the server must learn the path and the remedy.
    if (error.code != Code::Cancelled) error.code = Code::Unavailable;
    return fail(std::move(error));
  }
  if (call->result) return std::move(*call->result);
  return fail(Code::Internal,
              call->exit->signal != 0
                  ? fmt::format("the engine was ended by signal {} without an answer; {}",
                                call->exit->signal, call->last_error_line)
                  : fmt::format("the engine exited with code {} without an answer; {}",
                                call->exit->code, call->last_error_line));
}

Result<std::shared_ptr<const boost::json::value>> EngineClient::spec() {
  const std::lock_guard one_asks(spec_mutex_);
  const std::string identity = file_identity(host_.engine());
  {
    const std::lock_guard lock(mutex_);
    if (spec_ && spec_of_ == identity && !identity.empty()) return spec_;
  }
  TG_TRY(protocol::RunResult result,
         ask(question(protocol::RequestKind::Spec, options_), options_.spec_limit));
  if (result.code != protocol::ExitCode::Done) {
    return fail(Code::Internal, fmt::format("the engine could not list its connectors: {}",
                                            result.error.value_or("no reason given")));
  }
  auto spec = std::make_shared<const boost::json::value>(std::move(result.reply));
  const std::lock_guard lock(mutex_);
  spec_of_ = identity;
  spec_ = spec;
  return spec;
}

Result<boost::json::value> EngineClient::check(protocol::Endpoint endpoint, bool source) {
  protocol::Request request = question(protocol::RequestKind::Check, options_);
  (source ? request.source : request.destination) = std::move(endpoint);
  TG_TRY(protocol::RunResult result, ask(request, options_.check_limit));
  if (!result.reply.is_null()) return std::move(result.reply);
  return boost::json::value{{"ok", result.code == protocol::ExitCode::Done},
                            {"message", result.error.value_or("")}};
}

Result<boost::json::value> EngineClient::discover(protocol::Endpoint endpoint, bool source) {
  protocol::Request request = question(protocol::RequestKind::Discover, options_);
  (source ? request.source : request.destination) = std::move(endpoint);
  TG_TRY(protocol::RunResult result, ask(request, options_.discover_limit));
  if (result.code != protocol::ExitCode::Done) {
    return fail(code_of(result), result.error.value_or("the engine could not read the connection"),
                "discover_failed");
  }
  return std::move(result.reply);
}

}  // namespace tidegate::launch
