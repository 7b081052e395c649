#pragma once
// A Response as bytes of HTTP/1.1.

#include <cstddef>
#include <string>
#include <string_view>

#include "control/http/http.h"

namespace tidegate::http {

struct Framing {
  bool http10 = false;     // of the request
  bool keep_alive = true;  // after this answer
  bool chunked = false;    // an event stream to an HTTP/1.1 client
  std::string_view date;   // IMF-fixdate (RFC 9110 §5.6.7)
  std::string_view request_id;
};

// False when a header could forge another one (CR, LF, NUL, or a name that is no token).
bool has_safe_headers(const Response& response);
// Appends status line and headers up to the empty line. REQUIRES: has_safe_headers.
void encode_head(const Response& response, const Framing& framing, std::string& out);
void encode_chunk(std::string_view bytes, std::string& out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// `Sun, 06 Nov 1994 08:49:37 GMT`.
std::string http_date(std::int64_t unix_seconds);

}  // namespace tidegate::http
