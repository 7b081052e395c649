// Against real processes: the engine is a small shell script.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "control/launch/engine_client.h"
#include "control/launch/engine_launcher.h"
#include "control/launch/line_splitter.h"
#include "protocol/fields.h"

namespace tidegate::launch {
namespace {

// An executable script in a folder of its own.
class Script {
 public:
  explicit Script(const std::string& body) {
    char folder[] = "/tmp/tidegate-launch-XXXXXX";
    folder_ = mkdtemp(folder);
    write(body);
  }
  ~Script() { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/engine"; }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& body) const {
    // A new file each time: a script that is being executed cannot be written (ETXTBSY).
    const std::string fresh = folder_ + "/fresh";
    std::ofstream(fresh) << "#!/bin/sh\n" << body << "\n";
    chmod(fresh.c_str(), 0755);
    std::filesystem::rename(fresh, path());
  }

 private:
  std::string folder_;
};

// Polls a launcher until a launch has ended.
class Listener {
 public:
  explicit Listener(Launcher& launcher) : launcher_(launcher) {
    launcher_.on_ready([this] {
      const std::lock_guard lock(mutex_);
      ready_ = true;
      changed_.notify_all();
    });
  }
  ~Listener() { launcher_.on_ready({}); }

  // Every event until one for which `enough` is true; `enough` sees each event once.
  template <class F>
  std::vector<LaunchEvent> until(F&& enough) {
    std::vector<LaunchEvent> seen;
    for (;;) {
      for (LaunchEvent& event : launcher_.poll()) {
        seen.push_back(std::move(event));
        if (enough(seen.back())) return seen;
      }
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ready_; });
      ready_ = false;
    }
  }
  std::vector<LaunchEvent> until_exit() {
    return until([](const LaunchEvent& e) { return std::holds_alternative<Exit>(e.what); });
  }

 private:
  Launcher& launcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false;
};

template <class T>
std::vector<T> all(const std::vector<LaunchEvent>& events) {
  std::vector<T> result;
  for (const LaunchEvent& event : events) {
    if (const auto* e = std::get_if<protocol::Event>(&event.what)) {
      if (const auto* t = std::get_if<T>(e)) result.push_back(*t);
    }
  }
  return result;
}

const Exit& exit_of(const std::vector<LaunchEvent>& events) {
  return std::get<Exit>(events.back().what);
}

bool is_started(const LaunchEvent& event) {
  const auto* e = std::get_if<protocol::Event>(&event.what);
  return e != nullptr && std::holds_alternative<protocol::Started>(*e);
}

struct Fixture {
  explicit Fixture(const std::string& body) : script(body), host(script.path()) {
    EXPECT_TRUE(host.start());
  }
  Script script;
  ChildHost host;
  EngineLauncher launcher{host};
  Listener listener{launcher};
};

constexpr const char* kStarted = R"(printf '{"type":"started","version":1,"build":"b1"}\n' >&4)";
constexpr const char* kDone = R"(printf '{"type":"result","code":0}\n' >&4)";

TEST(Launch, RequestArrivesAndEventsComeBackInOrder) {
  Fixture f(
      std::string("read -r line <&3; printf '%s' \"$line\" > \"$0.request\"; ") + kStarted +
      "; echo hello; echo oops >&2;"
      R"( printf '{"type":"progress","entity":"a","rowsRead":3,"rowsWritten":2,"bytes":9}\n' >&4;)"
      R"( printf '{"type":"novelty"}\n' >&4; )" +
      kDone);
  protocol::Request request;
  request.run.job = "job-1";
  request.source = protocol::Endpoint{"file", {}};
  request.destination = protocol::Endpoint{"sqlite", {}};
  f.launcher.start(request);
  const auto events = f.listener.until_exit();
  std::ifstream saved(f.script.path() + ".request");
  const std::string line((std::istreambuf_iterator<char>(saved)), std::istreambuf_iterator<char>());
  auto received = protocol::parse_request(line);
  ASSERT_TRUE(received) << line;
  EXPECT_EQ(received->run.job, "job-1");
  EXPECT_EQ(all<protocol::Started>(events).size(), 1U);
  ASSERT_EQ(all<protocol::Progress>(events).size(), 1U);
  EXPECT_EQ(all<protocol::Progress>(events)[0].rows_read, 3);
  EXPECT_EQ(all<protocol::RunResult>(events).size(), 1U);
  const auto lines = all<protocol::LogLine>(events);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(exit_of(events).code, 0);
  EXPECT_FALSE(exit_of(events).not_started);
}

TEST(Launch, ResultWrittenJustBeforeTheExitIsNotLost) {
  Fixture f(std::string(kDone) + "; printf 'last words without a line ending'; exit 3");
  for (int i = 0; i < 20; ++i) f.launcher.start({});
  std::size_t exits = 0, results = 0;
  f.listener.until([&](const LaunchEvent& e) {
    if (std::holds_alternative<Exit>(e.what)) ++exits;
    if (const auto* event = std::get_if<protocol::Event>(&e.what)) {
      if (std::holds_alternative<protocol::RunResult>(*event)) ++results;
    }
    return exits == 20;
  });
  EXPECT_EQ(results, 20U);
}

TEST(Launch, RequestLargerThanAPipeArrivesWhole) {
  Fixture f("head -n 1 <&3 | wc -c");
  protocol::Request request;
  request.run.only_entities.assign(2000, std::string(500, 'x'));
  const std::size_t bytes = protocol::encode(request).size() + 1;
  f.launcher.start(request);
  const auto lines = all<protocol::LogLine>(f.listener.until_exit());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(std::stoul(lines[0].message), bytes);
}

TEST(Launch, WhatIsSaidBeforeTheStartComesBehindARequestThatFillsThePipe) {
  Fixture f("read -r request <&3; read -r line <&3; echo \"$line\"; echo \"${#request}\"");
  protocol::Request request;
  request.run.only_entities.assign(200, std::string(500, 'x'));
  f.launcher.cancel(f.launcher.start(request));
  const auto lines = all<protocol::LogLine>(f.listener.until_exit());
  ASSERT_EQ(lines.size(), 2U);
  auto cancelled = protocol::parse_control(lines[0].message);
  ASSERT_TRUE(cancelled && *cancelled);
  EXPECT_TRUE(std::holds_alternative<protocol::CancelRequested>(**cancelled));
  EXPECT_EQ(std::stoul(lines[1].message), protocol::encode(request).size());
}

TEST(Launch, RenewalsAndCancelReachTheChildAsControlLines) {
  Fixture f(std::string("read -r r <&3; ") + kStarted +
            "; read -r a <&3; echo \"$a\"; read -r b <&3; echo \"$b\"");
  const LaunchId id = f.launcher.start({});
  f.launcher.renew(id, BootInstant(Millis(12345)));
  f.launcher.cancel(id);
  const auto lines = all<protocol::LogLine>(f.listener.until_exit());
  ASSERT_EQ(lines.size(), 2U);
  auto renewed = protocol::parse_control(lines[0].message);
  auto cancelled = protocol::parse_control(lines[1].message);
  ASSERT_TRUE(renewed && *renewed && cancelled && *cancelled);
  EXPECT_EQ(std::get<protocol::LeaseRenewed>(**renewed).until, BootInstant(Millis(12345)));
  EXPECT_TRUE(std::holds_alternative<protocol::CancelRequested>(**cancelled));
}

TEST(Launch, ParentGoneIsEndOfFileOnFd3) {
  Script script("cat <&3 > /dev/null; echo eof > \"$0.eof\"");
  const UniqueFd request = [&] {
    auto child = spawn({{script.path()}, scrubbed_environment()});
    EXPECT_TRUE(child);
    child->request.reset();
    // Readable once the child has ended, which it does at end of file only.
    return UniqueFd(child->pidfd.release());
  }();
  while (!std::filesystem::exists(script.path() + ".eof")) std::this_thread::yield();
}

TEST(Launch, TerminateAndKillReachTheGroup) {
  Fixture f(std::string(kStarted) + "; sleep 1000 & wait");
  const LaunchId first = f.launcher.start({});
  f.listener.until(is_started);
  f.launcher.terminate(first);
  EXPECT_EQ(exit_of(f.listener.until_exit()).signal, SIGTERM);
  const LaunchId second = f.launcher.start({});
  f.launcher.kill(second);  // perhaps before there is a process
  EXPECT_EQ(exit_of(f.listener.until_exit()).signal, SIGKILL);
  f.launcher.kill(second);  // ended: ignored
}

// Descriptors that the epoll sets of this process watch.
std::size_t watched() {
  std::size_t count = 0;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(fd, gone) != "anon_inode:[eventpoll]") continue;
    std::ifstream info("/proc/self/fdinfo/" + fd.path().filename().string());
    for (std::string line; std::getline(info, line);) count += line.starts_with("tfd:") ? 1U : 0U;
  }
  return count;
}

// Seen as a reading thread that spins while many children are started: a child between vfork and
// exec holds copies of every descriptor, so that closing one does not take it out of the epoll set.
TEST(Launch, WhatIsClosedIsWatchedNoMoreAlthoughAnotherProcessHoldsACopy) {
  Fixture f(std::string("read -r request <&3; exec >&-; ") + kStarted + "; read -r cancel <&3");
  const std::size_t before = watched();
  const LaunchId id = f.launcher.start({});
  f.listener.until(is_started);
  EXPECT_GT(watched(), before);
  const pid_t holder = fork();
  if (holder == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  ASSERT_GT(holder, 0);
  f.launcher.cancel(id);
  EXPECT_EQ(exit_of(f.listener.until_exit()).code, 0);
  EXPECT_EQ(watched(), before);
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
}

TEST(Launch, MissingEngineIsAClearError) {
  ChildHost host("/nonexistent/tidegate-sync");
  ASSERT_TRUE(host.start());
  EngineLauncher launcher(host);
  Listener listener(launcher);
  launcher.start({});
  const auto events = listener.until_exit();
  ASSERT_TRUE(exit_of(events).not_started);
  EXPECT_EQ(exit_of(events).not_started->slug(), "engine_missing");
  EXPECT_NE(exit_of(events).not_started->message.find("/nonexistent/tidegate-sync"),
            std::string::npos);
}

TEST(Launch, StopEndsEveryChildAndDeliversItsExit) {
  Fixture f(std::string(kStarted) + "; sleep 1000");
  f.launcher.start({});
  f.listener.until(is_started);
  f.host.stop();
  f.host.stop();
  EXPECT_EQ(exit_of(f.listener.until_exit()).signal, SIGKILL);
  f.launcher.start({});
  const auto events = f.listener.until_exit();
  ASSERT_TRUE(exit_of(events).not_started);
  EXPECT_EQ(exit_of(events).not_started->code, Code::Cancelled);
}

TEST(Launch, LongAndGarbledLinesAreBoundedAndReported) {
  Fixture f(
      "head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'not json\\n' >&4; printf "
      "'{\"type\":\"progress\"}\\n' >&4");
  f.launcher.start({});
  const auto lines = all<protocol::LogLine>(f.listener.until_exit());
  ASSERT_EQ(lines.size(), 3U);
  for (const auto& line : lines) EXPECT_LT(line.message.size(), 9000U);
}

// Symptom: such a line could be stored and never be read again, with all others of its run.
TEST(Launch, OutputThatIsNoTextIsKeptAsText) {
  Fixture f(
      "printf 'caf\\351\\n' >&2; head -c 8191 /dev/zero | tr '\\0' x; printf '\\303\\251\\n'");
  f.launcher.start({});
  const auto lines = all<protocol::LogLine>(f.listener.until_exit());
  ASSERT_EQ(lines.size(), 2U);
  for (const auto& line : lines) {
    EXPECT_EQ(protocol::to_utf8(line.message), line.message);
    EXPECT_NE(line.message.find("\xEF\xBF\xBD"), std::string::npos) << line.message;
  }
}

TEST(Launch, ChildThatLogsWithoutEndDoesNotFillTheMemory) {
  Fixture f("yes | head -n 200000");
  f.launcher.start({});
  // Nobody polls meanwhile: wait for the exit without taking anything.
  f.host.stop();
  std::size_t lines = 0;
  bool told = false;
  for (const LaunchEvent& event : f.launcher.poll()) {
    if (const auto* e = std::get_if<protocol::Event>(&event.what)) {
      if (const auto* line = std::get_if<protocol::LogLine>(e)) {
        ++lines;
        told = told || line->message.find("dropped") != std::string::npos;
      }
    }
  }
  EXPECT_LE(lines, 20'001U);
  EXPECT_EQ(told, lines > 20'000U);
}

TEST(EngineClient, SpecIsAskedOncePerBuildOfTheEngine) {
  const std::string answer =
      std::string("echo x >> \"$0.calls\"; ") + kStarted +
      R"(; printf '{"type":"result","code":0,"reply":{"connectors":[]}}\n' >&4)";
  Fixture f(answer);
  EngineClient client(f.host);
  ASSERT_TRUE(client.spec());
  ASSERT_TRUE(client.spec());
  EXPECT_EQ(std::filesystem::file_size(f.script.path() + ".calls"), 2U);
  f.script.write(answer + "; :");
  ASSERT_TRUE(client.spec());
  EXPECT_EQ(std::filesystem::file_size(f.script.path() + ".calls"), 4U);
}

TEST(EngineClient, CheckAndDiscoverAnswers) {
  Fixture f(
      R"(printf '{"type":"result","code":2,"errorKind":"configuration","error":"no such file"}\n' >&4; exit 2)");
  EngineClient client(f.host);
  auto check = client.check({"file", {}}, true);
  ASSERT_TRUE(check);
  EXPECT_FALSE(check->at("ok").as_bool());
  EXPECT_EQ(check->at("message").as_string(), "no such file");
  auto discover = client.discover({"file", {}}, true);
  ASSERT_FALSE(discover);
  EXPECT_EQ(discover.error().code, Code::Invalid);
  EXPECT_EQ(discover.error().message, "no such file");
}

TEST(EngineClient, AHangingEngineIsEndedAtTheLimitAndOnStop) {
  Fixture f(std::string(kStarted) + "; sleep 1000");
  EngineClientOptions options;
  options.check_limit = Millis(50);
  EngineClient client(f.host, options);
  auto late = client.check({"file", {}}, true);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::Unavailable);

  client.stop();
  auto stopped = client.discover({"file", {}}, true);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().reason, "stopping");
}

TEST(EngineClient, TheFifthCallIsRefusedWhileFourRun) {
  // Each child says through the fifo that it runs, then waits.
  Fixture f("echo x > \"$0.fifo\"; sleep 1000");
  ASSERT_EQ(mkfifo((f.script.path() + ".fifo").c_str(), 0600), 0);
  EngineClientOptions options;
  options.queue_limit = Millis(1);
  EngineClient client(f.host, options);
  std::vector<std::thread> callers;
  for (int i = 0; i < EngineClient::kAtOnce; ++i) {
    callers.emplace_back([&] {
      auto answer = client.check({"file", {}}, true);
      EXPECT_FALSE(answer);
    });
  }
  const UniqueFd fifo(open((f.script.path() + ".fifo").c_str(), O_RDWR | O_CLOEXEC));
  char bytes[2 * EngineClient::kAtOnce];
  for (std::size_t got = 0; got < sizeof bytes;) {
    const ssize_t n = read(fifo.get(), bytes + got, sizeof bytes - got);
    ASSERT_GT(n, 0);
    got += static_cast<std::size_t>(n);
  }
  auto fifth = client.check({"file", {}}, true);
  ASSERT_FALSE(fifth);
  EXPECT_EQ(fifth.error().code, Code::RateLimited);
  client.stop();
  for (auto& caller : callers) caller.join();
}

TEST(EngineClient, AnEngineThatDiesWithoutAnAnswerIsNamed) {
  Fixture f("echo 'bad alloc' >&2; kill -9 $$");
  EngineClient client(f.host);
  auto answer = client.check({"file", {}}, true);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::Internal);
  EXPECT_NE(answer.error().message.find("signal 9"), std::string::npos);
  EXPECT_NE(answer.error().message.find("bad alloc"), std::string::npos);
}

TEST(LineSplitter, CutsAndJoins) {
  LineSplitter splitter(4);
  std::vector<std::pair<std::string, bool>> lines;
  const auto each = [&](std::string_view line, bool cut) { lines.emplace_back(line, cut); };
  splitter.feed("ab", each);
  splitter.feed("c\r\n\nabcdef", each);
  splitter.feed("gh\nxy", each);
  splitter.finish(each);
  const std::vector<std::pair<std::string, bool>> want = {
      {"abc", false}, {"", false}, {"abcd", true}, {"xy", false}};
  EXPECT_EQ(lines, want);
}

}  // namespace
}  // namespace tidegate::launch
