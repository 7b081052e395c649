#include "httpclient/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <mutex>
#include <utility>

namespace tidegate::httpclient {
namespace {

constexpr std::size_t kMaxBody = 256 << 20;

// State of one exchange, behind libcurl's void pointers.
struct Exchange {
  const Request* request = nullptr;
  Response response;
  CURL* curl = nullptr;
  bool stopped = false;  // on_data said so
  bool too_large = false;
  bool idle = false;  // nothing arrived for idle_timeout
  curl_off_t received = 0;
  std::chrono::steady_clock::time_point last_byte = std::chrono::steady_clock::now();
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& x = *static_cast<Exchange*>(user);
  const std::size_t n = size * count;
  long status = 0;
  curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &status);
  if (x.request->on_data && status / 100 == 2) {
    x.stopped = !x.request->on_data({data, n});
    return x.stopped ? 0 : n;
  }
  if (x.response.body.size() + n > kMaxBody) {
    x.too_large = true;
    return 0;
  }
  x.response.body.append(data, n);
  return n;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& x = *static_cast<Exchange*>(user);
  const std::string_view line(data, size * count);
  // A status line: the headers so far were of an interim answer.
  if (line.starts_with("HTTP/")) x.response.headers.clear();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  const std::size_t from = value.find_first_not_of(" \t");
  const std::size_t to = value.find_last_not_of(" \t\r\n");
  value = from == std::string_view::npos ? "" : value.substr(from, to - from + 1);
  x.response.headers.emplace_back(std::move(name), std::string(value));
  return line.size();
}

// libcurl's own limit is a mean speed in whole bytes a second, which a keep-alive of three bytes
// does not reach.
int on_progress(void* user, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) {
  auto& x = *static_cast<Exchange*>(user);
  const auto now = std::chrono::steady_clock::now();
  if (std::exchange(x.received, received) != received) x.last_byte = now;
  const Millis limit = x.request->idle_timeout;
  x.idle = limit > Millis(0) && now - x.last_byte >= limit;
  return x.idle || (x.request->cancelled && x.request->cancelled->load()) ? 1 : 0;
}

Error transport_error(CURLcode code, const Request& request, const char* text) {
  const std::string cause = *text != '\0' ? text : curl_easy_strerror(code);
  const auto unavailable = [&](std::string_view what, std::string reason) {
    return Error{Code::Unavailable,
                 fmt::format("cannot reach {}: {}{}", request.url, what, cause),
                 std::move(reason),
                 {}};
  };
  const bool plain = request.url.starts_with("http://");
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:  // also of an answer in no version of HTTP
      if (plain || request.url.starts_with("https://")) return unavailable("", "no_http");
      [[fallthrough]];
    case CURLE_URL_MALFORMAT:
      return {Code::Invalid,
              fmt::format("{} is not an http:// or https:// address", request.url),
              "bad_address",
              {}};
    case CURLE_SSL_CACERT_BADFILE:
      return {Code::Invalid,
              fmt::format("cannot use the CA file {}: {}", request.ca_file, cause),
              "bad_ca_file",
              {}};
    case CURLE_ABORTED_BY_CALLBACK:
      return {Code::Cancelled, "interrupted", {}, {}};
    case CURLE_OPERATION_TIMEDOUT:
      return {Code::Unavailable,
              fmt::format("no answer from {} in time: {}", request.url, cause),
              "timeout",
              {}};
    case CURLE_PEER_FAILED_VERIFICATION:
      return unavailable("its certificate is not trusted: ", "certificate");
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
      return unavailable("", plain ? "no_http" : "unreachable");
    default:
      return unavailable("", "unreachable");
  }
}

}  // namespace

std::string_view Response::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

struct Client::Impl {
  CURL* curl = nullptr;
};

Client::Client() : impl_(std::make_unique<Impl>()) {
  // libcurl's own global state; its initialisation is not thread-safe.
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_->curl = curl_easy_init();
}

Client::~Client() { curl_easy_cleanup(impl_->curl); }

Result<Response> Client::send(const Request& request) {
  CURL* curl = impl_->curl;
  if (!curl) return fail(Code::Internal, "libcurl could not be initialised");
  curl_easy_reset(curl);  // keeps connections
  Exchange x{.request = &request, .curl = curl};
  char text[CURL_ERROR_SIZE] = "";
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");  // no 100-continue round trip
  for (const auto& [name, value] : request.headers) {
    headers = curl_slist_append(headers, fmt::format("{}: {}", name, value).c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &x);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &x);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &x);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  if (!request.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, request.ca_file.c_str());
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (x.too_large)
    return fail(Code::TooLarge, fmt::format("the answer of {} is too large", request.url));
  if (x.idle && code == CURLE_ABORTED_BY_CALLBACK) {
    return fail(Code::Unavailable,
                fmt::format("nothing came from {} for {}", request.url,
                            format_duration(request.idle_timeout)),
                "timeout");
  }
  if (code != CURLE_OK && !(x.stopped && code == CURLE_WRITE_ERROR)) {
    return fail(transport_error(code, request, text));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  x.response.status = static_cast<int>(status);
  return std::move(x.response);
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-._~").contains(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace tidegate::httpclient
