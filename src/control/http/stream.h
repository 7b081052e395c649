#pragma once
// A connection's bytes, over TCP or TLS. Everything here runs on the IO thread.

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string_view>

namespace tidegate::http {

using boost::system::error_code;

// Who is told of completed operations. The stream keeps it alive until then.
class IoClient {
 public:
  virtual ~IoClient() = default;
  virtual void on_handshake(error_code ec) = 0;
  virtual void on_read(error_code ec, std::size_t bytes) = 0;
  virtual void on_written(error_code ec) = 0;
  // The peer has closed its side too, or never will.
  virtual void on_finished() = 0;
};
using IoClientPtr = std::shared_ptr<IoClient>;

// At most one read and one write at a time. An operation never completes inside its own call.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void handshake(IoClientPtr client) = 0;
  virtual void read_some(boost::asio::mutable_buffer into, IoClientPtr client) = 0;
  // As many bytes as go without waiting; 0 when none do, and always with TLS.
  virtual std::size_t try_write(std::string_view bytes) = 0;
  // All bytes. REQUIRES: they stay until on_written.
  virtual void write(std::array<boost::asio::const_buffer, 2> bytes, IoClientPtr client) = 0;
  // Ends our side, then reads and drops until the peer ends its own: closing with unread input
  // would send a reset that can overtake the last answer (RFC 9112 §9.6). With a read under way
  // (`reading`) the client gets on_read instead of on_finished, and drops what it reads.
  virtual void finish(bool reading, IoClientPtr client) = 0;
  // Pending operations complete with an error. `reset`: what the peer has not read is dropped, else
  // the kernel would keep it for a peer that never reads. Idempotent.
  virtual void close(bool reset) = 0;
};

std::unique_ptr<Stream> make_tcp_stream(boost::asio::ip::tcp::socket socket);
std::unique_ptr<Stream> make_tls_stream(boost::asio::ip::tcp::socket socket,
                                        std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace tidegate::http
