#pragma once
// All engine processes of this server: permanent threads start them (PR_SET_PDEATHSIG follows the
// thread that spawned), one thread reads them all through epoll.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/subprocess.h"
#include "control/launch/launcher.h"

namespace tidegate::launch {

// Whether a child could be started, as far as the file tells. Errors as those of a child that could
// not: NotFound, Forbidden, saying what to do.
Status find_engine(const std::string& engine);

// Where one child's events go: called on the reading thread, in order, the Exit last; must not
// block.
using ChildSink = std::function<void(LaunchId, std::variant<protocol::Event, Exit>)>;

// Thread-safe.
class ChildHost {
 public:
  // `engine`: the path of tidegate-sync. Looked at when a child is started, so a binary that is
  // installed later needs no restart.
  explicit ChildHost(std::string engine);
  ~ChildHost();  // stop()

  Status start();
  // Kills and reaps every child, delivers their exits, joins. Idempotent; bounded (a process that
  // SIGKILL does not end within 5 s is left behind, with a log line).
  void stop();

  const std::string& engine() const { return engine_; }

  // Starts a child with these arguments and writes the request (one line) to its fd 3. After
  // stop(), or before start(), the sink gets Exit::not_started at once.
  LaunchId launch(std::vector<std::string> arguments, std::string request_line, ChildSink sink);
  void send(LaunchId id, std::string control_line);  // a line without '\n' for its fd 3
  void signal(LaunchId id, int signal);              // to its process group

 private:
  class Loop;
  struct Waiting {
    LaunchId id;
    std::vector<std::string> argv;
    std::string request;  // secrets included
  };
  void spawn_children();

  const std::string engine_;
  std::unique_ptr<Loop> loop_;
  std::thread loop_thread_;
  std::vector<std::thread> spawn_threads_;

  std::mutex mutex_;
  std::condition_variable wake_spawner_;
  std::deque<Waiting> to_spawn_;  // guarded by mutex_
  bool running_ = false;          // guarded by mutex_
  std::uint64_t last_id_ = 0;     // guarded by mutex_
};

}  // namespace tidegate::launch
