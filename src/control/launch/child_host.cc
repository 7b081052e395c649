#include "control/launch/child_host.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "control/launch/child_loop.h"

namespace tidegate::launch {
namespace {

// Each waits, in the kernel, until its child executes the engine: two keep the processors busy.
constexpr int kSpawners = 2;

// A write to a child that has closed its fd 3 must be an error here, not the end of the server.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

Error explain(Error error, const std::string& engine) {
  if (error.code == Code::NotFound) {
    error.message = fmt::format(
        "the engine was not found at {}: install tidegate-sync beside tidegate, or set `engine` "
        "(--engine, "
        "TIDEGATE_ENGINE)",
        engine);
    error.reason = "engine_missing";
  } else if (error.code == Code::Forbidden) {
    error.message = fmt::format("{} may not be executed: check its permissions (chmod +x)", engine);
    error.reason = "engine_not_executable";
  }
  return error;
}

}  // namespace

Status find_engine(const std::string& engine) {
  struct stat info{};
  const bool found = ::stat(engine.c_str(), &info) == 0;
  if (found && S_ISREG(info.st_mode) && ::access(engine.c_str(), X_OK) == 0) return {};
  const Code code = found || errno == EACCES ? Code::Forbidden : Code::NotFound;
  return fail(explain(Error{code, {}, {}, {}}, engine));
}

ChildHost::ChildHost(std::string engine) : engine_(std::move(engine)) {}
ChildHost::~ChildHost() { stop(); }

Status ChildHost::start() {
  const std::lock_guard lock(mutex_);
  if (running_) return {};
  loop_ = std::make_unique<Loop>();
  TG_CHECK(loop_->open());
  running_ = true;
  loop_thread_ = std::thread([loop = loop_.get()] {
    pthread_setname_np(pthread_self(), "tg-children");
    block_signals();
    loop->run();
  });
  for (int i = 0; i < kSpawners; ++i) {
    spawn_threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "tg-spawner");
      block_signals();
      loop_->become_spawner();
      spawn_children();
    });
  }
  return {};
}

void ChildHost::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!running_) return;
    running_ = false;
    wake_spawner_.notify_all();
  }
  for (std::thread& thread : spawn_threads_) thread.join();
  spawn_threads_.clear();  // every launch is either spawned or refused
  loop_->post_stop();
  loop_thread_.join();
}

void ChildHost::spawn_children() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_spawner_.wait(lock, [this] { return !running_ || !to_spawn_.empty(); });
    if (to_spawn_.empty()) return;
    Waiting next = std::move(to_spawn_.front());
    to_spawn_.pop_front();
    loop_->tell_waiting(to_spawn_.size());
    const bool running = running_;
    lock.unlock();
    if (running) {
      auto child = spawn({std::move(next.argv), scrubbed_environment(), next.request});
      if (!child) child = fail(explain(std::move(child).error(), engine_));
      loop_->post_spawned(next.id, std::move(child));
    } else {
      loop_->post_spawned(next.id, fail(Code::Cancelled, "the server is stopping"));
    }
    wipe(next.request);
    lock.lock();
  }
}

LaunchId ChildHost::launch(std::vector<std::string> arguments, std::string request_line,
                           ChildSink sink) {
  std::unique_lock lock(mutex_);
  const LaunchId id{++last_id_};
  if (!running_) {
    lock.unlock();
    sink(id, Exit{.not_started = Error{Code::Cancelled, "the server is stopping", {}, {}}});
    return id;
  }
  arguments.insert(arguments.begin(), engine_);
  std::string request;
  request.reserve(request_line.size() + 1);  // no reallocation leaves a copy behind
  request.append(request_line).push_back('\n');
  wipe(request_line);
  loop_->post_created(id, std::move(sink), request);
  to_spawn_.push_back({id, std::move(arguments), std::move(request)});
  loop_->tell_waiting(to_spawn_.size());
  wake_spawner_.notify_one();
  return id;
}

void ChildHost::send(LaunchId id, std::string control_line) {
  const std::lock_guard lock(mutex_);
  if (loop_) loop_->post_send(id, std::move(control_line));
}

void ChildHost::signal(LaunchId id, int signal) {
  const std::lock_guard lock(mutex_);
  if (loop_) loop_->post_signal(id, signal);
}

}  // namespace tidegate::launch
