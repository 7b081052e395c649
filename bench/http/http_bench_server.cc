// The server under test of bench/http/run: answers the peer's hello-world, inline and from the
// pool. Prints its address and runs until its standard input ends.

#include <cstdio>
#include <iostream>
#include <string>

#include "base/rng.h"
#include "base/time.h"
#include "control/http/server.h"

namespace http = tidegate::http;

int main() {
  const http::Handler hello = [](const http::Request&) -> tidegate::Result<http::Response> {
    return http::Response{.body = R"({"hello":"world"})"};
  };
  auto router = http::Router::create({{http::Method::Get, "/hello", hello, http::Run::Inline},
                                      {http::Method::Get, "/pool", hello, http::Run::Pool}});
  const tidegate::SystemClock clock;
  tidegate::SystemRng rng;
  http::Server server({.listen = "127.0.0.1:0"}, std::move(*router), clock, rng);
  if (const auto status = server.start(); !status) {
    std::cerr << tidegate::describe(status.error()) << "\n";
    return 1;
  }
  std::cout << server.url() << std::endl;
  while (std::cin.get() != EOF) {
  }
}
