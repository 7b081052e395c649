#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "control/http/stream.h"

namespace tidegate::http {
namespace {

namespace asio = boost::asio;

class TcpStream final : public Stream {
 public:
  explicit TcpStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  void handshake(IoClientPtr client) override {
    asio::post(socket_.get_executor(), [client = std::move(client)] { client->on_handshake({}); });
  }

  void read_some(asio::mutable_buffer into, IoClientPtr client) override {
    socket_.async_read_some(into, [client = std::move(client)](error_code ec, std::size_t n) {
      client->on_read(ec, n);
    });
  }

  std::size_t try_write(std::string_view bytes) override {
    error_code ec;
    // The socket is non-blocking. An error will come again from write() or read_some().
    const std::size_t n = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), ec);
    return ec ? 0 : n;
  }

  void write(std::array<asio::const_buffer, 2> bytes, IoClientPtr client) override {
    asio::async_write(socket_, bytes, [client = std::move(client)](error_code ec, std::size_t) {
      client->on_written(ec);
    });
  }

  void finish(bool reading, IoClientPtr client) override {
    error_code ec;
    socket_.shutdown(asio::socket_base::shutdown_send, ec);
    if (!reading) drop_input(std::move(client));
  }

  void close(bool reset) override {
    error_code ec;
    if (reset) socket_.set_option(asio::socket_base::linger(true, 0), ec);
    socket_.close(ec);
  }

 private:
  void drop_input(IoClientPtr client) {
    socket_.async_read_some(asio::buffer(dropped_),
                            [this, client = std::move(client)](error_code ec, std::size_t) mutable {
                              // `client` owns this stream.
                              if (ec) return client->on_finished();
                              drop_input(std::move(client));
                            });
  }

  asio::ip::tcp::socket socket_;
  std::array<char, 512> dropped_;
};

}  // namespace

std::unique_ptr<Stream> make_tcp_stream(asio::ip::tcp::socket socket) {
  return std::make_unique<TcpStream>(std::move(socket));
}

}  // namespace tidegate::http
