#include "control/http/server.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "control/http/session.h"

namespace tidegate::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// Room above max_connections for those that are being told so.
constexpr std::size_t kRefusing = 64;

struct HostPort {
  std::string host, port;
};

Result<HostPort> split_address(const std::string& listen) {
  const auto bad = [&] {
    return fail(
        Code::Invalid,
        fmt::format("listen address '{}' must be host:port, such as 127.0.0.1:8080 or [::1]:8080",
                    listen),
        "bad_listen_address");
  };
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return bad();
  HostPort out{listen.substr(0, colon), listen.substr(colon + 1)};
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  } else if (out.host.empty() || out.host.find(':') != std::string::npos) {
    return bad();
  }
  const bool digits = out.port.find_first_not_of("0123456789") == std::string::npos;
  if (out.port.empty() || out.port.size() > 5 || !digits || std::stoi(out.port) > 65535)
    return bad();
  return out;
}

Result<tcp::endpoint> resolve(asio::io_context& io, const std::string& listen) {
  TG_TRY(const HostPort at, split_address(listen));
  tcp::resolver resolver(io);
  error_code ec;
  const auto found = resolver.resolve(at.host, at.port, tcp::resolver::passive, ec);
  if (ec || found.empty()) {
    return fail(Code::Invalid,
                fmt::format("listen address '{}': host '{}' is unknown ({})", listen, at.host,
                            ec.message()),
                "bad_listen_address");
  }
  // `localhost` may mean both families: IPv4 is what most clients try.
  for (const auto& entry : found) {
    if (entry.endpoint().address().is_v4()) return entry.endpoint();
  }
  return found.begin()->endpoint();
}

Result<std::shared_ptr<asio::ssl::context>> load_tls(const ServerOptions& o) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code ec;
  context->set_options(asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                       ec);
  const auto bad = [&](const std::string& file, std::string_view what) {
    return fail(Code::Invalid,
                fmt::format("{} file '{}' cannot be used: {}; give a readable PEM file", what, file,
                            ec.message()),
                "bad_tls_file");
  };
  context->use_certificate_chain_file(o.tls_cert_file, ec);
  if (ec) return bad(o.tls_cert_file, "the TLS certificate");
  context->use_private_key_file(o.tls_key_file, asio::ssl::context::pem, ec);
  if (ec) return bad(o.tls_key_file, "the TLS key");
  return context;
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, Router router, const Clock& clock, Rng& rng)
      : core(std::move(options), std::move(router), clock, rng),
        acceptor(core.io),
        pause(core.io) {}

  Status listen();
  void accept();
  void admit(tcp::socket socket);
  void accept_later();
  Status start();
  void stop();
  Status reload_tls();
  bool secure() const { return !core.options.tls_cert_file.empty(); }

  Core core;
  std::shared_ptr<asio::ssl::context> tls;  // of the next connection; IO thread only once started
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> guard;
  std::thread io_thread;
  tcp::endpoint bound;
  std::mutex lifecycle;
  bool started = false, stopped = false;
};

Status Server::Impl::listen() {
  const ServerOptions& o = core.options;
  if (o.tls_cert_file.empty() != o.tls_key_file.empty()) {
    return fail(Code::Invalid, "TLS needs both a certificate file and a key file", "bad_tls_file");
  }
  if (!o.tls_cert_file.empty()) {
    TG_TRY(tls, load_tls(o));
  }
  TG_TRY(const tcp::endpoint at, resolve(core.io, o.listen));
  error_code ec;
  acceptor.open(at.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(at, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (!ec) bound = acceptor.local_endpoint(ec);
  if (!ec) return {};
  error_code ignored;
  acceptor.close(ignored);
  const bool in_use = ec == asio::error::address_in_use;
  return fail(in_use ? Code::Unavailable : Code::Invalid,
              fmt::format("cannot listen on {}: {}; {}", o.listen, ec.message(),
                          in_use ? "stop the program that uses it or choose another port"
                                 : "choose an address of this machine"),
              in_use ? "address_in_use" : "bad_listen_address");
}

Status Server::Impl::start() {
  const std::lock_guard lock(lifecycle);
  if (stopped) return fail(Code::Invalid, "a stopped server cannot be started again");
  if (started) return {};
  TG_CHECK(listen());
  started = true;
  core.pool.start();
  guard.emplace(core.io.get_executor());
  accept();
  io_thread = std::thread([this] { core.io.run(); });
  return {};
}

void Server::Impl::stop() {
  const std::lock_guard lock(lifecycle);
  stopped = true;
  if (!io_thread.joinable()) return;
  asio::post(core.io, [this] {
    error_code ec;
    acceptor.close(ec);
    pause.cancel();
    core.begin_stop();
    guard.reset();
  });
  io_thread.join();
  core.pool.stop();
  {
    const std::lock_guard gate(core.gate->mutex);
    core.gate->core = nullptr;
  }
  // What handlers handed over after the IO thread had ended.
  core.io.restart();
  core.io.poll();
}

Status Server::Impl::reload_tls() {
  const std::lock_guard lock(lifecycle);
  if (!secure() || !started || stopped) return {};
  TG_TRY(auto fresh, load_tls(core.options));
  asio::post(core.io, [this, fresh = std::move(fresh)]() mutable { tls = std::move(fresh); });
  return {};
}

void Server::Impl::accept() {
  acceptor.async_accept([this](error_code ec, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (!ec) {
      admit(std::move(socket));
    } else if (ec != asio::error::connection_aborted) {
      log::warn("cannot accept a connection", {{"error", ec.message()}});
      return accept_later();  // out of descriptors: trying at once would spin
    }
    accept();
  });
}

void Server::Impl::accept_later() {
  pause.expires_after(Millis(100));
  pause.async_wait([this](error_code) {
    if (acceptor.is_open()) accept();
  });
}

void Server::Impl::admit(tcp::socket socket) {
  const std::size_t count = core.session_count;
  const bool full =
      count >= core.options.max_connections && !core.make_room(std::chrono::steady_clock::now());
  // No room even to say so, or a handshake would be due first: closing is the answer.
  if (full && (tls || count >= core.options.max_connections + kRefusing)) return;
  error_code ec;
  const tcp::endpoint peer = socket.remote_endpoint(ec);
  if (!ec) socket.non_blocking(true, ec);
  if (!ec) socket.set_option(tcp::no_delay(true), ec);
  if (ec) return;  // gone already
  auto stream = tls ? make_tls_stream(std::move(socket), tls) : make_tcp_stream(std::move(socket));
  auto session = std::make_shared<Session>(core, std::move(stream), peer.address().to_string(),
                                           tls != nullptr);
  core.add(session);
  full ? session->start_refused() : session->start();
}

Server::Server(ServerOptions options, Router router, const Clock& clock, Rng& rng)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router), clock, rng)) {}
Server::~Server() { stop(); }

Status Server::start() { return impl_->start(); }
void Server::stop() { impl_->stop(); }
Status Server::reload_tls() { return impl_->reload_tls(); }
std::uint16_t Server::port() const { return impl_->bound.port(); }

std::string Server::url() const {
  const auto address = impl_->bound.address();
  const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  return fmt::format("{}://{}:{}", impl_->secure() ? "https" : "http", host, port());
}

std::size_t Server::connections() const { return impl_->core.session_count; }

void Server::replace_routes(Router router) {
  // A handler that asio copies must be copyable.
  auto shared = std::make_shared<Router>(std::move(router));
  asio::post(impl_->core.io, [this, shared] { impl_->core.routers.push_back(std::move(*shared)); });
}

}  // namespace tidegate::http
