#pragma once
// Bytes of a connection to a Request: Boost.Beast's parser used synchronously, with what it lets
// pass and a server must refuse (RFC 9112 §6.1, §6.3: request smuggling; §3.2: Host) added.

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "control/http/http.h"

namespace tidegate::http {

struct ParserLimits {
  std::size_t max_header_bytes, max_body_bytes;
};

// Not thread-safe. After an error the connection's bytes have no known meaning: close it.
class RequestParser {
 public:
  // REQUIRES: `request` outlives this.
  RequestParser(Request& request, ParserLimits limits);
  ~RequestParser();

  // Number of bytes taken, ≤ bytes.size(). Untaken bytes must come first in the next call. Bytes
  // after the end of the request (pipelining) are never taken. REQUIRES: !done().
  // Malformed; TooLarge with reason `headers_too_large` or `body_too_large`; Unsupported with
  // reason `expectation_failed`.
  Result<std::size_t> feed(std::string_view bytes);
  // What is missing when the client ends its side now.
  Error truncated() const;

  bool started() const;       // a byte of the request was taken or is pending
  bool headers_done() const;  // method, target and headers of the request are complete
  bool done() const;
  bool keep_alive() const;      // REQUIRES: headers_done()
  bool http10() const;          // REQUIRES: headers_done()
  bool wants_continue() const;  // Expect: 100-continue, and no byte of the body has come
  void reset();                 // for the next request; clears the Request

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate::http
