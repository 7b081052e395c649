#pragma once
// For this module's tests: a server on a free port of loopback and a client that sends raw bytes.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/http/server.h"

namespace tidegate::http {

struct Reply {
  int status = 0;  // 0: the connection ended before a whole answer
  std::string head;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    // A server that hangs must fail the test, not hang it. Far above every deadline in use.
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }

  // False: the server closed while we were sending.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // `head`: the request was HEAD, so no body follows.
  Reply read(bool head = false) {
    Reply r;
    const std::string text = take_until("\r\n\r\n");
    if (text.empty()) return r;
    r.head = text;
    std::size_t at = text.find("\r\n") + 2;
    while (at + 2 < text.size()) {
      const std::size_t end = text.find("\r\n", at), colon = text.find(": ", at);
      std::string name = text.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(::tolower(c));
      r.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    if (!head && r.headers.contains("content-length")) {
      const std::size_t size = std::stoul(r.headers["content-length"]);
      if (!fill(size)) return r;
      r.body = buffer_.substr(0, size);
      buffer_.erase(0, size);
    }
    r.status = std::stoi(text.substr(9, 3));
    return r;
  }

  Reply ask(std::string_view bytes) {
    send(bytes);
    return read();
  }

  // The data of one chunk; empty: the last one, or the connection ended.
  std::string read_chunk() {
    const std::string line = take_until("\r\n");
    if (line.empty()) return {};
    const std::size_t size = std::stoul(line, nullptr, 16);
    if (!fill(size + 2)) return {};
    std::string data = buffer_.substr(0, size);
    buffer_.erase(0, size + 2);
    return data;
  }

  // Everything until the server closes; `*reset` says that it did so with a reset.
  std::string read_to_end(bool* reset = nullptr) {
    while (receive()) {
    }
    if (reset != nullptr) *reset = errno_ != 0;
    return std::exchange(buffer_, {});
  }
  bool closed_by_server() { return read_to_end().empty() && errno_ == 0; }

 private:
  bool receive() {
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    errno_ = n < 0 ? errno : 0;
    if (n > 0) buffer_.append(bytes, static_cast<std::size_t>(n));
    return n > 0;
  }
  bool fill(std::size_t size) {
    while (buffer_.size() < size) {
      if (!receive()) return false;
    }
    return true;
  }
  std::string take_until(std::string_view mark) {
    std::size_t at;
    while ((at = buffer_.find(mark)) == std::string::npos) {
      if (!receive()) return {};
    }
    std::string text = buffer_.substr(0, at + mark.size());
    buffer_.erase(0, at + mark.size());
    return text;
  }

  int fd_;
  int errno_ = 0;
  bool connected_ = false;
  std::string buffer_;
};

// GET and POST echo what they were sent; /inline answers on the IO thread.
inline std::vector<Route> echo_routes() {
  const Handler echo = [](const Request& r) -> Result<Response> {
    return Response{.body = std::string(method_name(r.method())) + " " + std::string(r.path()) +
                            " " + std::string(r.param("id")) + " [" + r.body() + "]"};
  };
  return {{Method::Get, "/inline", echo, Run::Inline},
          {Method::Post, "/inline", echo, Run::Inline},
          {Method::Get, "/pool", echo, Run::Pool},
          {Method::Post, "/pool", echo, Run::Pool},
          {Method::Get, "/items/{id}", echo, Run::Inline}};
}

inline Router make_router(std::vector<Route> routes) {
  auto router = Router::create(std::move(routes));
  EXPECT_TRUE(router) << describe(router.error());
  return std::move(*router);
}

struct TestServer {
  explicit TestServer(ServerOptions options = {}, std::vector<Route> routes = echo_routes()) {
    options.listen = "127.0.0.1:0";
    server =
        std::make_unique<Server>(std::move(options), make_router(std::move(routes)), clock, rng);
    const auto status = server->start();
    EXPECT_TRUE(status) << describe(status.error());
  }
  std::uint16_t port() const { return server->port(); }

  SystemClock clock;
  SeededRng rng{1};
  std::unique_ptr<Server> server;
};

inline std::string get(std::string_view target, std::string_view more = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n" + std::string(more) + "\r\n";
}
inline std::string post(std::string_view target, std::string_view body,
                        std::string_view more = {}) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more) + "\r\n" + std::string(body);
}

}  // namespace tidegate::http
