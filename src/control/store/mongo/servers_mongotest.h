#pragma once
// For the tests of this module: the servers that tools/with_mongo started, databases on them, and a
// server of the test's own that it can kill.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/subprocess.h"
#include "base/time.h"
#include "control/store/mongo/client.h"
#include "control/store/types.h"

namespace tidegate::store::mongo {

// Of tools/with_mongo; throws, with the remedy, when it is not there.
std::string environment(const char* name);
inline std::string replica_set() { return environment("TIDEGATE_TEST_MONGO"); }
inline std::string standalone() { return environment("TIDEGATE_TEST_MONGO_STANDALONE"); }

// Destroys it on another thread: the driver takes half a second to close a pool, and the next test
// need not wait for it. All is done before the process ends.
void destroy_later(std::shared_ptr<void> opened);

// An empty database of its own; dropped at the end.
class TestDatabase {
 public:
  explicit TestDatabase(const std::string& uri);
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  Pool& pool() { return *pool_; }
  const std::string& name() const { return options_.database; }
  // The store's time is `clock`'s when there is one, else the server's.
  MongoOptions options(const Clock* clock = nullptr) const;

 private:
  MongoOptions options_;
  std::unique_ptr<Pool> pool_;
};

// A replica set of one that can be killed and started again over the same data.
class PrivateServer {
 public:
  PrivateServer();
  ~PrivateServer() { kill(); }
  PrivateServer(const PrivateServer&) = delete;
  PrivateServer& operator=(const PrivateServer&) = delete;

  void start(std::vector<std::string> options = {});  // returns when it answers
  void kill();                                        // -9
  std::string uri(const std::string& credentials = "") const;

 private:
  int port_;
  std::string folder_;
  std::optional<Child> child_;
};

// Waits for a change of just this id.
class Heard {
 public:
  ChangeHandler handler() {
    return [this](const Change& c) {
      const std::scoped_lock lock(mutex_);
      seen_.emplace_back(c.kind, c.id);
      changed_.notify_all();
    };
  }
  bool wait_for(ChangeKind kind, const std::string& id) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return std::ranges::find(seen_, std::pair{kind, id}) != seen_.end();
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<ChangeKind, std::string>> seen_;
};

}  // namespace tidegate::store::mongo
