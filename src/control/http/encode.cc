#include "control/http/encode.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

namespace tidegate::http {
namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "";  // may be empty (RFC 9112 §4)
  }
}

bool is_token(std::string_view s) {
  constexpr std::string_view kExtra = "!#$%&'*+-.^_`|~";
  return !s.empty() && std::ranges::all_of(s, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kExtra.contains(c);
  });
}

bool is_field_value(std::string_view s) {
  return std::ranges::all_of(s, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u == '\t' || (u >= 0x20 && u != 0x7f);
  });
}

bool has_header(const Response& response, std::string_view name) {
  return std::ranges::any_of(response.headers, [&](const Header& h) {
    return std::ranges::equal(h.name, name, [](char a, char b) {
      return (a >= 'A' && a <= 'Z' ? a + 32 : a) == (b >= 'A' && b <= 'Z' ? b + 32 : b);
    });
  });
}

void append_number(std::size_t n, std::string& out) {
  const fmt::format_int text(n);
  out.append(text.data(), text.size());
}

}  // namespace

bool has_safe_headers(const Response& response) {
  return std::ranges::all_of(response.headers, [](const Header& h) {
    return is_token(h.name) && is_field_value(h.value);
  });
}

void encode_head(const Response& response, const Framing& framing, std::string& out) {
  const bool bodiless = response.status == 204 || response.status == 304;
  out.append("HTTP/1.1 ");
  append_number(static_cast<std::size_t>(response.status), out);
  out.append(" ").append(reason_phrase(response.status)).append("\r\nDate: ").append(framing.date);
  if (!bodiless) {
    out.append("\r\nContent-Type: ")
        .append(response.events ? "text/event-stream" : response.content_type);
    if (framing.chunked) {
      out.append("\r\nTransfer-Encoding: chunked");
    } else if (!response.events) {
      out.append("\r\nContent-Length: ");
      append_number(response.body.size(), out);
    }
  }
  out.append("\r\nX-Content-Type-Options: nosniff\r\nX-Request-ID: ").append(framing.request_id);
  if (response.headers.empty() || !has_header(response, "Cache-Control")) {
    out.append("\r\nCache-Control: no-store");
  }
  // A reverse proxy that buffers would hold events back.
  if (response.events) out.append("\r\nX-Accel-Buffering: no");
  for (const Header& h : response.headers) {
    out.append("\r\n").append(h.name).append(": ").append(h.value);
  }
  if (!framing.keep_alive) {
    out.append("\r\nConnection: close");
  } else if (framing.http10) {
    out.append("\r\nConnection: keep-alive");
  }
  out.append("\r\n\r\n");
}

void encode_chunk(std::string_view bytes, std::string& out) {
  fmt::format_to(std::back_inserter(out), FMT_COMPILE("{:x}\r\n"), bytes.size());
  out.append(bytes).append("\r\n");
}

std::string http_date(std::int64_t unix_seconds) {
  using namespace std::chrono;
  static constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_seconds t{seconds(unix_seconds)};
  const auto day = floor<days>(t);
  const year_month_day date(day);
  const hh_mm_ss time(t - day);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

}  // namespace tidegate::http
