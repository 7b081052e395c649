#pragma once
// A small blocking HTTP client for the CLI. The sole user of libcurl.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::httpclient {

// Holds credentials in `headers`: never logged.
struct Request {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Millis connect_timeout{5'000};
  Millis timeout{30'000};  // of the whole exchange; 0: no limit (event streams)
  // 0: no limit. Nothing received for so long ends the exchange with Unavailable; looked at every
  // second.
  Millis idle_timeout{0};
  // Set: the body of a 2xx answer goes here piece by piece instead of into Response::body. False
  // ends the exchange, which then succeeds with what has arrived.
  std::function<bool(std::string_view)> on_data;
  const std::atomic<bool>* cancelled = nullptr;  // looked at every second and on every signal
  std::string ca_file;                           // PEM; empty: the system's authorities
};

struct Response {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view lower_case_name) const;  // empty: absent
};

// What commands talk through, so that they can be tested without a network.
class Transport {
 public:
  virtual ~Transport() = default;
  // Any HTTP status is a success. Unavailable: no answer (the message names address and cause; the
  // reason is `timeout` when something took the connection and is silent, `certificate` when that
  // is not trusted, `no_http` when what ends the connection speaks no HTTP). Cancelled. Invalid:
  // the URL or the CA file. TooLarge: an answer beyond 256 MiB.
  virtual Result<Response> send(const Request& request) = 0;
};

// Keeps connections alive between calls. Not thread-safe: one per thread. Follows no redirect and
// uses no proxy for loopback addresses.
class Client final : public Transport {
 public:
  Client();
  ~Client() override;
  Result<Response> send(const Request& request) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Percent-encodes everything but RFC 3986's unreserved characters.
std::string escape(std::string_view text);

}  // namespace tidegate::httpclient
