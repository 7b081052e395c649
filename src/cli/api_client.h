#pragma once
// The REST API as commands use it: paths in, `data` out, failures as Error.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/locate.h"
#include "httpclient/http_client.h"

namespace tidegate::cli {

// How long the server may take to answer; for what asks a source or destination: it bounds that by
// 120 s itself; and how long a followed stream may be silent: it sends something every 15 s.
inline constexpr Millis kAnswerTime{30'000}, kConnectorTime{150'000}, kStreamSilence{60'000};

struct Call {
  std::string method = "GET";
  std::string path;  // from `/api/…`, or below the workspace when it starts with anything else
  std::vector<std::pair<std::string, std::string>> query;
  boost::json::value body;  // null: none
  std::string if_match;     // a revision
  Millis timeout = kAnswerTime;
};

// Not thread-safe.
class ApiClient {
 public:
  // REQUIRES: context outlives this.
  static Result<ApiClient> connect(Context& context, const Args& args);
  ApiClient(Context& context, Target target) : context_(&context), target_(std::move(target)) {}

  // `data` of a success (null when there is none). A failure carries the server's code, message and
  // details; Unavailable when it cannot be reached, naming the address and what to do.
  Result<boost::json::value> call(const Call& call);
  // All pages of a list, at most `max` items; `total` is set when the server told it.
  Result<boost::json::array> list(
      const std::string& path, const std::vector<std::pair<std::string, std::string>>& query = {},
      std::size_t max = 1'000'000);
  // The item of `path` whose id or name is `ref`. NotFound with the nearest names, Conflict when a
  // name is there more than once.
  Result<boost::json::object> find(const std::string& path, std::string_view what,
                                   const std::string& ref);

  // Server-sent events until the callback returns false, the server ends the stream (true) or the
  // context is interrupted (Cancelled). Starts after `last_id` when it is not empty.
  struct Event {
    std::string id, event, data;
  };
  Status events(const std::string& path, const std::string& last_id,
                const std::function<bool(const Event&)>& on_event);

  const Target& target() const { return target_; }
  Context& context() { return *context_; }
  void set_workspace(std::string name) { target_.workspace = std::move(name); }

 private:
  httpclient::Request request(const Call& call) const;
  Result<httpclient::Response> send(const httpclient::Request& request);
  Error unreachable(const Error& cause, const httpclient::Request& request) const;
  Error server_error(const httpclient::Response& answer) const;

  Context* context_;
  Target target_;
};

// Splits a stream of bytes into events (WHATWG HTML §9.2.6). Fields other than id, event and data
// are ignored; an event without data is none.
class EventParser {
 public:
  // False: the callback asked to stop.
  bool feed(std::string_view bytes, const std::function<bool(const ApiClient::Event&)>& on_event);

 private:
  std::string line_;
  ApiClient::Event event_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

// Whether it has the form of the ids that a server makes.
bool looks_like_id(std::string_view ref);

// Text of a string member, "" when it is absent or no text.
std::string text_at(const boost::json::value& row, std::string_view path);

}  // namespace tidegate::cli
