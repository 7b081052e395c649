#include "control/http/router.h"

#include <fmt/format.h>

#include <array>
#include <exception>

namespace tidegate::http {
namespace {

constexpr std::size_t kMethodCount = static_cast<std::size_t>(Method::Other);
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

std::size_t slot(Method m) { return static_cast<std::size_t>(m == Method::Head ? Method::Get : m); }

bool is_param(std::string_view s) { return s.size() > 2 && s.front() == '{' && s.back() == '}'; }

std::unexpected<Error> bad_route(const Route& route, std::string_view problem) {
  return fail(Code::Invalid,
              fmt::format("route {} {}: {}", method_name(route.method), route.pattern, problem));
}

Result<std::vector<std::string>> split_pattern(const Route& route) {
  std::string_view rest = route.pattern;
  if (rest.empty() || rest[0] != '/') return bad_route(route, "the pattern must start with '/'");
  rest.remove_prefix(1);
  std::vector<std::string> parts;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    const bool plain = part.find_first_of("{}%?#") == std::string_view::npos;
    if (part.empty() || slash == rest.size() - 1 || (!plain && !is_param(part))) {
      return bad_route(route,
                       "each segment must be literal text or {name}, with no '/' at the end");
    }
    parts.emplace_back(part);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  }
  return parts;
}

}  // namespace

struct Router::Node {
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> literals;
  std::unique_ptr<Node> param;
  std::array<std::size_t, kMethodCount> routes = [] {
    std::array<std::size_t, kMethodCount> none{};
    none.fill(kNone);
    return none;
  }();

  bool any() const {
    for (std::size_t r : routes) {
      if (r != kNone) return true;
    }
    return false;
  }
};

struct Router::Entry {
  std::vector<std::pair<std::string, std::size_t>> params;  // name, segment index
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;
Router::~Router() = default;

Result<Router> Router::create(std::vector<Route> routes, Handler otherwise) {
  Router router;
  router.otherwise_ = {.handler = std::move(otherwise), .run = Run::Inline};
  for (Route& route : routes) TG_CHECK(router.add(std::move(route)));
  return router;
}

std::span<const Route> Router::routes() const { return routes_; }

Status Router::add(Route route) {
  if (!route.handler) return bad_route(route, "it has no handler");
  if (route.method == Method::Head || route.method == Method::Other) {
    return bad_route(route, "HEAD is answered by GET; other methods cannot have routes");
  }
  TG_TRY(const auto parts, split_pattern(route));
  Entry entry;
  Node* node = root_.get();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::unique_ptr<Node>* next = nullptr;
    if (is_param(parts[i])) {
      entry.params.emplace_back(parts[i].substr(1, parts[i].size() - 2), i);
      next = &node->param;
    } else {
      for (auto& [text, child] : node->literals) {
        if (text == parts[i]) next = &child;
      }
      if (next == nullptr) next = &node->literals.emplace_back(parts[i], nullptr).second;
    }
    if (!*next) *next = std::make_unique<Node>();
    node = next->get();
  }
  std::size_t& index = node->routes[slot(route.method)];
  if (index != kNone) return bad_route(route, "a route with this method and path exists");
  index = routes_.size();
  routes_.push_back(std::move(route));
  entries_.push_back(std::move(entry));
  return {};
}

// Calls visit(node) for each node that the whole path reaches, literals first, until it returns
// true. Bounded: at most 2^depth nodes, and real tables have a literal beside a parameter at one
// level.
template <class Visit>
bool Router::walk(const Node& node, const Request& request, std::size_t depth,
                  const Visit& visit) const {
  if (depth == request.segment_count()) return node.any() && visit(node);
  const std::string_view segment = request.segment(depth);
  for (const auto& [text, child] : node.literals) {
    if (text == segment && walk(*child, request, depth + 1, visit)) return true;
  }
  return node.param && walk(*node.param, request, depth + 1, visit);
}

Result<const Route*> Router::match(Request& request) const {
  std::size_t found = kNone;
  bool path_known = false;
  walk(*root_, request, 0, [&](const Node& node) {
    path_known = true;
    if (request.method() != Method::Other) found = node.routes[slot(request.method())];
    return found != kNone;
  });
  if (found != kNone) {
    request.param_names_ = &entries_[found].params;
    return &routes_[found];
  }
  if (otherwise_.handler) return &otherwise_;
  if (path_known) {
    return fail(
        Code::Unsupported,
        fmt::format("{} does not offer this method; allowed: {}", request.path(), allowed(request)),
        "method_not_allowed");
  }
  return fail(
      Code::NotFound,
      fmt::format("there is nothing at {}; /api/openapi.json lists the paths", request.path()),
      "route_not_found");
}

std::string Router::allowed(const Request& request) const {
  std::array<bool, kMethodCount> has{};
  walk(*root_, request, 0, [&](const Node& node) {
    for (std::size_t m = 0; m < kMethodCount; ++m) has[m] = has[m] || node.routes[m] != kNone;
    return false;
  });
  has[static_cast<std::size_t>(Method::Head)] = has[static_cast<std::size_t>(Method::Get)];
  std::string text;
  for (std::size_t m = 0; m < kMethodCount; ++m) {
    if (!has[m]) continue;
    text += text.empty() ? "" : ", ";
    text += method_name(static_cast<Method>(m));
  }
  return text;
}

Response Router::refuse(const Request& request, const Error& error) const {
  Response response = error_response(error, request.request_id());
  if (response.status == 405) response.headers.push_back({"Allow", allowed(request)});
  return response;
}

Response Router::handle(Request& request) const {
  const auto route = match(request);
  return route ? call_handler(**route, request) : refuse(request, route.error());
}

Response call_handler(const Route& route, const Request& request) {
  std::string what;
  try {
    Result<Response> result = route.handler(request);
    return result ? std::move(*result) : error_response(result.error(), request.request_id());
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {  // the edge: nothing may escape into the IO thread or end a worker
    what = "unknown exception";
  }
  return error_response(
      {Code::Internal,
       fmt::format("{} {} threw: {}", method_name(route.method), route.pattern, what),
       {},
       {}},
      request.request_id());
}

}  // namespace tidegate::http
