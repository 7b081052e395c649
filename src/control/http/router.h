#pragma once
// The table of routes: method and path pattern to handler.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/http/http.h"

namespace tidegate::http {

// Where a handler runs. Inline: on the IO thread, only for handlers bounded in time (a cached or
// indexed read): while one runs, no other request is served.
enum class Run : std::uint8_t { Pool, Inline };

struct Route {
  Method method = Method::Get;
  std::string pattern;  // `/api/workspaces/{ws}/sync-jobs/{id}`
  Handler handler;
  Run run = Run::Pool;
};

// Immutable after create(); all methods are thread-safe.
class Router {
 public:
  // Invalid: a malformed pattern, a route given twice, HEAD (GET implies it), no handler.
  // `otherwise` answers what no route does, instead of 404 and 405.
  static Result<Router> create(std::vector<Route> routes, Handler otherwise = {});
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;
  ~Router();

  // In the order given to create(); a test compares them with OpenAPI.
  std::span<const Route> routes() const;

  // The route for the request's method and path, its parameters bound to the request. A literal
  // segment wins over a `{name}`; HEAD finds GET. REQUIRES: the Router outlives the request.
  // error: NotFound (404), or Unsupported with reason `method_not_allowed` (405).
  Result<const Route*> match(Request& request) const;
  // "GET, HEAD, POST" of the request's path; empty when no route has that path.
  std::string allowed(const Request& request) const;

  // match, call, map errors: what the server does, for tests without a socket.
  Response handle(Request& request) const;
  // The answer to a request that match() refused, with Allow on a 405.
  Response refuse(const Request& request, const Error& error) const;

 private:
  struct Node;
  struct Entry;
  Router();
  Status add(Route route);
  template <class Visit>
  bool walk(const Node& node, const Request& request, std::size_t depth, const Visit& visit) const;

  std::unique_ptr<Node> root_;
  std::vector<Route> routes_;
  std::vector<Entry> entries_;
  Route otherwise_;  // its handler may be missing
};

// Calls the handler; its error or exception becomes an answer.
Response call_handler(const Route& route, const Request& request);

}  // namespace tidegate::http
