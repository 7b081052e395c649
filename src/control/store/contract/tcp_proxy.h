#pragma once
// A TCP proxy on loopback that does to connections what a network that swallows everything does:
// they stay open, bytes are taken, none arrive. For the tests of stores that are servers.

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace tidegate::store::contract {

// Thread-safe.
class TcpProxy {
 public:
  explicit TcpProxy(int server_port);  // of 127.0.0.1; throws when there is no port to be had
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  // From now on connections whose client sent `marker` early on, or sends it, are swallowed in both
  // directions, new ones too; "": all. Of what was on its way nothing arrives.
  void swallow(const std::string& marker = "");
  // Swallowed connections are closed, and others pass.
  void pass();
  int swallowed() const { return swallowed_; }  // connections, since the last swallow()

 private:
  struct Link {
    UniqueFd client, server;
    std::string begin;  // of what the client sent
    bool lost = false, ended = false;
  };
  void loop();
  void accept_one();
  void copy(Link& link, bool upwards);
  void judge(Link& link);  // REQUIRES: the mutex

  const int server_port_;
  int port_ = 0;
  UniqueFd listener_, wake_;
  std::mutex mutex_;
  bool swallow_ = false, stop_ = false;  // with all that follows, guarded by mutex_
  std::string marker_;
  std::list<Link> links_;
  std::atomic<int> swallowed_{0};
  std::thread thread_;
};

}  // namespace tidegate::store::contract
