#pragma once
// The reading half of ChildHost: one epoll over every child's pipes and pidfd. Internal to launch.

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/launch/child_host.h"
#include "control/launch/courier.h"
#include "control/launch/line_splitter.h"

namespace tidegate::launch {

// Overwrites and empties what may have held secrets.
void wipe(std::string& text);

// post*() from any thread; run() on one.
class ChildHost::Loop {
 public:
  Loop();

  Status open();
  void run();  // until post_stop() and every child is gone

  // `request`: what is asked of the child; the spawner puts what fits into its pipe.
  void post_created(LaunchId id, ChildSink sink, std::string request);
  // From a spawner, whose descriptors are its own: see Courier.
  void post_spawned(LaunchId id, Result<Child> child);
  // How many launches wait for a spawner: starting them goes before hearing those that run.
  void tell_waiting(std::size_t launches) { waiting_ = launches; }
  // On the calling thread, which only spawns from now on: a table of descriptors of its own.
  void become_spawner() const { own_descriptors({wake_.get(), courier_.outgoing()}); }
  void post_send(LaunchId id, std::string line);
  void post_signal(LaunchId id, int signal);
  void post_stop();

 private:
  // Descriptors of one child in the epoll set; the number is part of the event's key.
  enum class Slot : std::uint64_t { Exit, Request, Events, Out, Err };
  static constexpr std::uint64_t kSlots = 8;

  struct Entry {
    LaunchId id{};
    ChildSink sink;
    Child child;
    bool spawned = false;
    std::string request;                // until it was spawned; secrets included
    std::optional<int> pending_signal;  // asked for before it was spawned
    std::string outgoing;               // bytes for fd 3, secrets included: wiped once written
    std::size_t written = 0;
    bool watching_request = false;
    LineSplitter events{protocol::kMaxLine}, out, err;
    Entry();
    void give(std::variant<protocol::Event, Exit> what) { sink(id, std::move(what)); }
  };
  using Entries = std::unordered_map<std::uint64_t, Entry>;

  void post(std::function<void()> command);
  void run_commands();
  void handle(std::uint64_t key);
  void watch(int fd, std::uint64_t key, std::uint32_t events);
  void watch(const UniqueFd& fd, LaunchId id, Slot slot, std::uint32_t events);
  void forget(UniqueFd& fd);
  void receive_children();
  void spawned(LaunchId id, Result<Child> child);
  void write_request(LaunchId id, Entry& entry);
  // Reads what is there, up to a bound; false at end of file, after which the pipe is closed.
  bool read_pipe(Entry& entry, Slot slot);
  void on_bytes(Entry& entry, Slot slot, std::string_view bytes);
  void on_event_line(Entry& entry, std::string_view line, bool cut);
  void on_exit(Entries::iterator at);

  UniqueFd epoll_, wake_;
  Courier courier_;
  std::atomic<std::size_t> waiting_ = 0;
  Entries entries_;  // the loop thread's
  bool stopping_ = false;
  std::chrono::steady_clock::time_point give_up_;

  std::mutex mutex_;
  std::vector<std::function<void()>> commands_;  // guarded by mutex_
};

}  // namespace tidegate::launch
