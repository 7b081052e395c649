// Any bytes on a connection: parsing ends, keeps its limits, and does not depend on how the bytes
// were cut into reads; what is accepted has the shape that handlers rely on.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "control/http/parser.h"
#include "control/http/router.h"

namespace http = tidegate::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const http::Router& router() {
  static const http::Router all = [] {
    const http::Handler echo = [](const http::Request& r) -> tidegate::Result<http::Response> {
      return http::Response{.body = std::string(r.param("ws")) + std::string(r.param("id"))};
    };
    return http::Router::create({{http::Method::Get, "/", echo},
                                 {http::Method::Get, "/api/workspaces/{ws}/sync-jobs/{id}", echo},
                                 {http::Method::Post, "/api/workspaces/{ws}/sync-jobs", echo},
                                 {http::Method::Delete, "/{ws}/{id}", echo}})
        .value();
  }();
  return all;
}

void check(http::Request& r) {
  require(r.path().starts_with('/') && r.segment_count() <= 32 && r.query_count() <= 100);
  for (std::size_t i = 0; i < r.segment_count(); ++i) {
    const std::string_view s = r.segment(i);
    require(!s.empty() && s != "." && s != ".." && !s.contains('\0'));
  }
  for (std::size_t i = 0; i < r.query_count(); ++i) require(!r.query_at(i).value.contains('\0'));
  for (std::size_t i = 0; i < r.header_count(); ++i) {
    const auto [name, value] = r.header_at(i);
    require(!name.empty() && value.find_first_of(std::string_view("\r\n\0", 3)) == value.npos);
    require(r.header(name).has_value());
  }
  const bool framed_twice = r.header("Content-Length") && r.header("Transfer-Encoding");
  require(!framed_twice);
  const http::Response response = router().handle(r);
  require(response.status == 200 || response.status == 404 || response.status == 405);
}

// One line per request taken from `bytes`, read in pieces; then how it ended.
std::vector<std::string> run(std::string_view bytes, std::size_t piece, http::ParserLimits limits) {
  http::Request request;
  http::RequestParser parser(request, limits);
  std::vector<std::string> seen;
  std::size_t taken = 0, given = 0;
  while (given < bytes.size()) {
    given = std::min(bytes.size(), given + piece);
    while (true) {
      const auto n = parser.feed(bytes.substr(taken, given - taken));
      if (!n) return seen;
      require(*n <= given - taken);
      taken += *n;
      require(request.body().size() <= limits.max_body_bytes);
      if (!parser.done()) break;
      check(request);
      seen.push_back(std::string(http::method_name(request.method())) +
                     std::string(request.target()) + " " + std::to_string(request.header_count()) +
                     " " + request.body() + (parser.keep_alive() ? " +" : " -") +
                     std::to_string(taken));
      parser.reset();
      if (taken == given) break;
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] % 64;
  // Far from the limits: where exactly one of them is passed may depend on the pieces.
  constexpr http::ParserLimits kWide{.max_header_bytes = 1 << 20, .max_body_bytes = 1 << 20};
  require(run(bytes, bytes.size() + 1, kWide) == run(bytes, piece, kWide));
  run(bytes, piece, {.max_header_bytes = 64, .max_body_bytes = 16});
  return 0;
}
