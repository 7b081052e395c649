#include "control/store/mongo/servers_mongotest.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "base/unique_fd.h"
#include "control/store/contract/contract.h"

namespace tidegate::store::mongo {
namespace {

int free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &length) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(at.sin_port);
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  if (value != nullptr) return value;
  throw std::runtime_error(std::string(name) +
                           " is not set: run this test beneath tools/with_mongo, as ctest does; "
                           "the server comes with ./dev setup");
}

void destroy_later(std::shared_ptr<void> opened) {
  static std::vector<std::future<void>> closing;
  closing.push_back(
      std::async(std::launch::async, [opened = std::move(opened)]() mutable { opened.reset(); }));
}

TestDatabase::TestDatabase(const std::string& uri) {
  static int count = 0;
  options_.uri = Secret(uri);
  options_.database = "test_" + std::to_string(getpid()) + "_" + std::to_string(++count);
  pool_ = contract::must(Pool::open(options_));
}

TestDatabase::~TestDatabase() { (void)Conn(*pool_).run({{"dropDatabase", 1}}); }

MongoOptions TestDatabase::options(const Clock* clock) const {
  MongoOptions o = options_;
  o.poll_interval = Millis(20);
  if (clock != nullptr) o.now = [clock] { return clock->now(); };
  return o;
}

PrivateServer::PrivateServer() : port_(free_port()) {
  static int count = 0;
  folder_ = environment("TIDEGATE_MONGO_FOLDER") + "/private-" + std::to_string(getpid()) + "-" +
            std::to_string(++count);
}

void PrivateServer::start(std::vector<std::string> options) {
  SpawnParams params;
  params.argv = {environment("TIDEGATE_MONGO_SERVER"),
                 "--host",
                 "127.0.0.1",
                 "--port",
                 std::to_string(port_),
                 "--storage-path",
                 folder_,
                 "--sync-on-commit"};
  params.argv.insert(params.argv.end(), options.begin(), options.end());
  params.env = scrubbed_environment();
  child_ = contract::must(spawn(params));
  MongoOptions any;
  any.uri = Secret(uri() + "&serverSelectionTimeoutMS=30000");
  const auto pool = contract::must(Pool::open(any));
  contract::must(Conn(*pool).run({{"hello", 1}}, "admin"));
}

void PrivateServer::kill() {
  if (!child_) return;
  signal_group(*child_, SIGKILL);
  pollfd ended{.fd = child_->pidfd.get(), .events = POLLIN, .revents = 0};
  poll(&ended, 1, -1);
  (void)reap(*child_);
  child_.reset();
}

std::string PrivateServer::uri(const std::string& credentials) const {
  return "mongodb://" + credentials + "127.0.0.1:" + std::to_string(port_) +
         "/?replicaSet=secantus";
}

}  // namespace tidegate::store::mongo
