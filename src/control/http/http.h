#pragma once
// What a route handler sees: Request, Response, EventSource. No socket and no Boost.Asio type is
// named here, so that a route file stays quick to compile and testable without a network.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace tidegate::http {

// Other: any method that no route can have (CONNECT, TRACE, OPTIONS, …).
enum class Method : std::uint8_t { Get, Head, Post, Put, Patch, Delete, Other };
std::string_view method_name(Method m);
Method parse_method(std::string_view name);  // case-sensitive (RFC 9110 §9.1)

struct Header {
  std::string name, value;
};

// One parsed request. Not thread-safe; handlers get it const, and every view they take from it is
// valid until they return. Buffers are reused from request to request of one connection.
class Request {
 public:
  struct Pair {
    std::string_view name, value;
  };

  // For tests and for callers without a socket. Malformed as set_target and add_header say.
  static Result<Request> make(Method method, std::string_view target,
                              const std::vector<Header>& headers = {}, std::string body = {});

  Method method() const { return method_; }
  // As sent: `/api/x?limit=5`.
  std::string_view target() const { return target_; }
  // The target without its query, still percent-encoded.
  std::string_view path() const { return std::string_view(target_).substr(0, path_size_); }
  // Percent-decoded, valid UTF-8, never empty, "." or "..".
  std::size_t segment_count() const { return segments_.size(); }
  std::string_view segment(std::size_t i) const { return segments_[i].of(decoded_); }
  // A `{name}` of the route's pattern, decoded. Empty: the pattern has no such name.
  std::string_view param(std::string_view name) const;

  // Query parameters, decoded (`+` is a space), in the order sent. query(): the first of that name.
  std::size_t query_count() const { return query_.size(); }
  Pair query_at(std::size_t i) const {
    return {query_[i].name.of(decoded_), query_[i].value.of(decoded_)};
  }
  std::optional<std::string_view> query(std::string_view name) const;

  // Names compare without case. header(): the first of that name.
  std::size_t header_count() const { return headers_.size(); }
  Pair header_at(std::size_t i) const {
    return {headers_[i].name.of(header_text_), headers_[i].value.of(header_text_)};
  }
  std::optional<std::string_view> header(std::string_view name) const;

  const std::string& body() const { return body_; }
  // The peer's address without port. Text such as `127.0.0.1` or `::1`.
  std::string_view remote() const { return remote_; }
  bool secure() const { return secure_; }  // came over TLS
  // Client's X-Request-ID when it is well-formed, else ours; answered and logged.
  std::string_view request_id() const { return request_id_; }

  // Building. clear() keeps the connection's facts (remote, secure) and the buffers' memory.
  void clear();
  // Malformed: not `/path` or `http(s)://host/path`, a bad escape, NUL, not UTF-8, an empty, "." or
  // ".." segment, more than 32 segments or 100 query parameters.
  Status set_target(Method method, std::string_view target);
  Status add_header(std::string_view name, std::string_view value);  // TooLarge: over 100 of them
  std::string& mutable_body() { return body_; }
  void set_peer(std::string remote, bool secure);
  void set_request_id(std::string_view id) { request_id_.assign(id); }

 private:
  friend class Router;
  struct Range {
    std::uint32_t from = 0, size = 0;
    std::string_view of(const std::string& text) const { return {text.data() + from, size}; }
  };
  struct RangePair {
    Range name, value;
  };
  Status split_path(std::string_view path);
  Status split_query(std::string_view text);

  Method method_ = Method::Other;
  bool secure_ = false;
  std::size_t path_size_ = 0;
  std::string target_, decoded_, header_text_, body_, remote_, request_id_;
  std::vector<Range> segments_;
  std::vector<RangePair> query_, headers_;
  // Of the matched route: names of its parameters by segment index (Router owns them).
  const std::vector<std::pair<std::string, std::size_t>>* param_names_ = nullptr;
};

// Feeds one open SSE answer (`text/event-stream`). The server calls open() once, then pull() after
// every wake-up; never two calls at once. It is destroyed when the client has gone or the server
// stops. A heartbeat comment is sent by the server after ServerOptions::heartbeat without data.
class EventSource {
 public:
  // Asks for a pull(). Callable from any thread, any number of times, also after the connection has
  // ended (then it does nothing) and after the server has been destroyed.
  using Wake = std::function<void()>;

  virtual ~EventSource() = default;
  // Called on a worker thread before the first pull(), which follows without a wake-up.
  // By value: who overrides it keeps it.
  virtual void open(Wake /*wake*/) {}  // NOLINT(performance-unnecessary-value-param)
  // Called on a worker thread, so it may read the store. The next bytes (see format_event), at best
  // ≤ 64 KiB; empty: nothing now, call again after a wake-up; nullopt: the end, the server closes.
  // While it returns bytes it is called again as soon as the client has taken them.
  virtual std::optional<std::string> pull() = 0;
};

// One SSE event (WHATWG HTML §9.2), data split at line ends. Empty `id` or `event`: left out.
std::string format_event(std::string_view id, std::string_view event, std::string_view data);

// The server adds Date, Content-Length, X-Request-ID, X-Content-Type-Options: nosniff and, where
// `headers` has none, Cache-Control: no-store. Move-only.
struct Response {
  int status = 200;
  std::string body = {};
  std::string_view content_type = kJson;     // REQUIRES: a literal
  std::vector<Header> headers = {};          // no CR, LF or NUL: such an answer becomes a 500
  std::unique_ptr<EventSource> events = {};  // set: an SSE answer, `body` is ignored

  static constexpr std::string_view kJson = "application/json; charset=utf-8";
};

// Runs on a worker thread, or on the IO thread for a route marked inline. Called from several
// threads at once. Exceptions become Internal.
using Handler = std::function<Result<Response>(const Request&)>;

// The one form of failure: {"success":false,"error":…,"code":…,"details":[…]} with the status of
// base/error.h. Internal: the message goes to the log and the answer holds only `reference` (the
// request id). RateLimited and Unavailable get Retry-After: 1, Unauthorized WWW-Authenticate.
Response error_response(const Error& error, std::string_view reference);

// Unsupported (415) unless Content-Type is application/json or application/*+json.
Status require_json(const Request& request);

}  // namespace tidegate::http
