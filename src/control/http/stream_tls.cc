#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "control/http/stream.h"

namespace tidegate::http {
namespace {

namespace asio = boost::asio;

class TlsStream final : public Stream {
 public:
  TlsStream(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(std::move(socket), *context_) {}

  void handshake(IoClientPtr client) override {
    stream_.async_handshake(
        asio::ssl::stream_base::server,
        [client = std::move(client)](error_code ec) { client->on_handshake(ec); });
  }

  void read_some(asio::mutable_buffer into, IoClientPtr client) override {
    stream_.async_read_some(into, [client = std::move(client)](error_code ec, std::size_t n) {
      client->on_read(ec, n);
    });
  }

  std::size_t try_write(std::string_view) override { return 0; }

  void write(std::array<asio::const_buffer, 2> bytes, IoClientPtr client) override {
    asio::async_write(stream_, bytes, [client = std::move(client)](error_code ec, std::size_t) {
      client->on_written(ec);
    });
  }

  void finish(bool reading, IoClientPtr client) override {
    if (reading) return;  // the answer's own framing has told the peer; it closes
    // Sends close_notify and waits for the peer's.
    stream_.async_shutdown([client = std::move(client)](error_code) { client->on_finished(); });
  }

  void close(bool reset) override {
    error_code ec;
    if (reset) stream_.lowest_layer().set_option(asio::socket_base::linger(true, 0), ec);
    stream_.lowest_layer().close(ec);
  }

 private:
  const std::shared_ptr<asio::ssl::context> context_;  // the server's may be another by now
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
};

}  // namespace

std::unique_ptr<Stream> make_tls_stream(asio::ip::tcp::socket socket,
                                        std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<TlsStream>(std::move(socket), std::move(context));
}

}  // namespace tidegate::http
