#pragma once
// An HTTP/1.1 server: one IO thread, and a bounded pool for handlers that may block.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/http/router.h"

namespace tidegate::http {

// What happened to one request; for metrics and the access log.
struct Access {
  Method method;
  std::string_view route;  // the pattern; empty when none matched
  int status;
  std::chrono::microseconds duration;  // header read to answer ready
  std::string_view request_id;
  std::string_view remote;
};

struct ServerOptions {
  std::string listen = "127.0.0.1:8080";    // `host:port`, `[::1]:8080`; port 0: any free one
  std::string tls_cert_file, tls_key_file;  // PEM; both or none
  std::size_t max_body_bytes = 1 << 20;     // above: 413
  std::size_t max_header_bytes = 16 << 10;  // request line and headers; above: 431
  // Above: the longest idle one is closed, those never served first; all at work: 503 and close.
  std::size_t max_connections = 1024;
  std::size_t workers = 4;      // threads of the pool
  std::size_t max_queue = 256;  // waiting for the pool; above: 503 with Retry-After

  // A deadline passed: 408 when a request was begun, then close.
  Millis header_timeout{
      10'000};                  // from its first byte to the end of its headers; also TLS handshake
  Millis body_timeout{30'000};  // from the end of the headers to the end of the body
  Millis idle_timeout{75'000};  // between requests; header_timeout while none was served
  Millis write_timeout{30'000};  // for one answer, plus its size at the slowest rate allowed:
  std::size_t min_write_rate = 16 << 10;  // bytes a second
  Millis linger_timeout{1'000};           // after the last answer, for the client to close
  Millis stop_timeout{5'000};             // stop() lets requests in flight finish for that long
  Millis heartbeat{15'000};               // a comment on a silent SSE stream

  std::function<void(const Access&)> on_access;  // on the IO thread; must not block
};

class Server {
 public:
  // REQUIRES: clock and rng outlive the server.
  Server(ServerOptions options, Router router, const Clock& clock, Rng& rng);
  ~Server();  // stop()

  // Binds, listens and starts the threads. Invalid: the address or the TLS files; Unavailable: the
  // address is in use. Idempotent while running; a stopped server cannot be started again.
  Status start();
  // Closes the listener and idle connections, ends SSE streams, lets requests in flight finish,
  // then joins. Bounded by stop_timeout plus the longest handler. Idempotent, thread-safe.
  void stop();

  // Requests that come from now on find these routes. Thread-safe; REQUIRES: started. What the old
  // ones use must outlive the server: requests in flight are still with them.
  void replace_routes(Router router);

  // Reads the TLS files again, for connections accepted from now on; those that are open keep what
  // they began with. Without TLS, or not running: nothing. Invalid: a file cannot be used, or the
  // key is not the certificate's; what was in use stays. Thread-safe.
  Status reload_tls();

  // After start(): the bound port, and `http://127.0.0.1:8080` (https with TLS).
  std::uint16_t port() const;
  std::string url() const;
  std::size_t connections() const;  // thread-safe

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate::http
