#include "control/http/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>

namespace tidegate::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using BeastError = beast::http::error;

std::string_view view(beast::string_view s) { return {s.data(), s.size()}; }

Error malformed(std::string message, std::string reason = "bad_request") {
  return {Code::Malformed, std::move(message), std::move(reason), {}};
}

bool is_digits(std::string_view s) {
  return !s.empty() && std::ranges::all_of(s, [](char c) { return c >= '0' && c <= '9'; });
}

// Writes into a Request. An error of ours travels in `error`, beside Beast's error code.
class Sink final : public beast::http::basic_parser<true> {
 public:
  Sink(Request& request, const ParserLimits& limits) : request_(request), limits_(limits) {
    eager(true);
    header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    body_limit(limits.max_body_bytes);
  }

  bool http11() const { return http11_; }

  std::optional<Error> error;
  bool wants_continue = false;
  bool headers_done = false;

 private:
  void refuse(Error e, error_code& ec) {
    error = std::move(e);
    ec = BeastError::bad_field;
  }

  // Beast limits each piece it sees; the sum is ours to limit.
  void count(std::size_t bytes, error_code& ec) {
    header_bytes_ += bytes;
    if (header_bytes_ > limits_.max_header_bytes) ec = BeastError::header_limit;
  }

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, error_code& ec) override {
    http11_ = version >= 11;
    count(method.size() + target.size() + 12, ec);
    if (ec) return;
    if (auto ok = request_.set_target(http::parse_method(view(method)), view(target)); !ok) {
      refuse(std::move(ok).error(), ec);
    }
  }

  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code& ec) override {
    using beast::http::field;
    count(name.size() + value.size() + 4, ec);
    if (ec || headers_done) return;  // trailers are read and dropped
    const std::string_view text = view(value);
    switch (field) {
      case field::host:
        if (std::exchange(has_host_, true)) refuse(malformed("Host is given twice"), ec);
        break;
      case field::content_length:
        // Beast takes lists and repeats of one value; two hops may read them in two ways.
        if (std::exchange(has_length_, true) || !is_digits(text)) {
          refuse(malformed("Content-Length must be given once, as one number"), ec);
        }
        break;
      case field::transfer_encoding:
        if (!http11_ || !beast::iequals(value, "chunked")) {
          refuse(malformed("Transfer-Encoding may only be chunked, in HTTP/1.1"), ec);
        }
        break;
      case field::expect:
        if (!beast::iequals(value, "100-continue")) {
          refuse({Code::Unsupported, "Expect may only be 100-continue", "expectation_failed", {}},
                 ec);
        }
        wants_continue = http11_;
        break;
      default:
        break;
    }
    if (ec) return;
    if (auto ok = request_.add_header(view(name), text); !ok) refuse(std::move(ok).error(), ec);
  }

  void on_header_impl(error_code& ec) override {
    if (http11_ && !has_host_) return refuse(malformed("the Host header is missing"), ec);
    headers_done = true;
    header_bytes_ = 0;  // trailers have a budget of their own
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view body, error_code&) override { return append(body); }
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code&) override {
    return append(body);
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {
    wants_continue = false;
  }
  void on_finish_impl(error_code&) override { wants_continue = false; }
  void on_response_impl(int, beast::string_view, int, error_code&) override {}

  std::size_t append(beast::string_view body) {
    wants_continue = false;
    request_.mutable_body().append(body.data(), body.size());
    return body.size();
  }

  Request& request_;
  const ParserLimits& limits_;
  std::size_t header_bytes_ = 0;
  bool http11_ = false;
  bool has_host_ = false, has_length_ = false;
};

// Beast's error numbers as answers.
Error explain(const error_code& ec, const ParserLimits& limits) {
  if (ec == BeastError::header_limit) {
    return {Code::TooLarge,
            fmt::format("the request line and headers are larger than {} bytes; send less",
                        limits.max_header_bytes),
            "headers_too_large",
            {}};
  }
  if (ec == BeastError::body_limit) {
    return {Code::TooLarge,
            fmt::format("the body is larger than {} bytes; send less", limits.max_body_bytes),
            "body_too_large",
            {}};
  }
  return malformed(fmt::format("the request is not well-formed HTTP/1.1: {}", ec.message()));
}

}  // namespace

struct RequestParser::Impl {
  Request& request;
  const ParserLimits limits;
  std::optional<Sink> sink = {};
  bool started = false;
};

RequestParser::RequestParser(Request& request, ParserLimits limits)
    : impl_(new Impl{.request = request, .limits = limits}) {
  reset();
}
RequestParser::~RequestParser() = default;

void RequestParser::reset() {
  impl_->request.clear();
  impl_->sink.emplace(impl_->request, impl_->limits);
  impl_->started = false;
}

Result<std::size_t> RequestParser::feed(std::string_view bytes) {
  Sink& sink = *impl_->sink;
  std::size_t taken = 0;
  if (!impl_->started) {
    // RFC 9112 §2.2: empty lines before the request line are passed over.
    while (bytes.substr(taken).starts_with("\r\n")) taken += 2;
    const std::string_view rest = bytes.substr(taken);
    if (rest.empty() || rest == "\r") return taken;
    impl_->started = true;
  }
  // Beast asserts that it sees a whole last chunk (`0 CRLF CRLF`) when it sees one again; nothing
  // that ends a chunked body is shorter, so waiting for five bytes delays no request.
  if (sink.headers_done && sink.chunked() && bytes.size() < 5) return 0;
  error_code ec;
  taken += sink.put(boost::asio::buffer(bytes.data() + taken, bytes.size() - taken), ec);
  if (ec && ec != BeastError::need_more) {
    return fail(sink.error ? std::move(*sink.error) : explain(ec, impl_->limits));
  }
  // A chunk's header or a trailer without an end: Beast would wait for ever.
  if (!sink.is_done() && bytes.size() - taken >= impl_->limits.max_header_bytes) {
    return fail(explain(BeastError::header_limit, impl_->limits));
  }
  return taken;
}

Error RequestParser::truncated() const {
  return malformed(headers_done() ? "the request ended before its body was complete"
                                  : "the request ended before its headers were complete",
                   "truncated_request");
}

bool RequestParser::started() const { return impl_->started; }
bool RequestParser::headers_done() const { return impl_->sink->headers_done; }
bool RequestParser::done() const { return impl_->sink->is_done(); }
bool RequestParser::keep_alive() const { return impl_->sink->keep_alive(); }
bool RequestParser::http10() const { return !impl_->sink->http11(); }
bool RequestParser::wants_continue() const { return impl_->sink->wants_continue; }

}  // namespace tidegate::http
