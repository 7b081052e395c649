#include <array>

#include "base/text.h"
#include "base/utf8.h"
#include "control/http/http.h"

namespace tidegate::http {
namespace {

constexpr std::size_t kMaxSegments = 32;
constexpr std::size_t kMaxQuery = 100;
constexpr std::size_t kMaxHeaders = 100;
constexpr std::array<std::string_view, 7> kMethods = {"GET",   "HEAD",   "POST", "PUT",
                                                      "PATCH", "DELETE", "OTHER"};

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool same_name(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  }
  return true;
}

// Appends the decoded text; `what` names it in the error.
Status percent_decode(std::string_view text, bool plus_is_space, std::string_view what,
                      std::string& out) {
  const std::size_t from = out.size();
  bool escaped = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      c = ' ';
    } else if (c == '%') {
      const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return fail(
            Code::Malformed,
            std::string(what) + ": '%' must be followed by two hex digits; write '%' as %25",
            "bad_target");
      }
      c = static_cast<char>(high * 16 + low);
      escaped = true;
      i += 2;
      if (c == '\0')
        return fail(Code::Malformed, std::string(what) + " contains NUL", "bad_target");
    }
    out.push_back(c);
  }
  // Unescaped text is ASCII: set_target has seen to it.
  if (escaped && !is_utf8(std::string_view(out).substr(from))) {
    return fail(Code::Malformed, std::string(what) + " is not UTF-8 after percent-decoding",
                "bad_target");
  }
  return {};
}

// RFC 9112 §3.2.2: a server accepts the absolute form; its authority is ignored, as Host is.
std::string_view strip_authority(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (target.size() > scheme.size() && same_name(target.substr(0, scheme.size()), scheme)) {
      const std::size_t slash = target.find_first_of("/?", scheme.size());
      return slash == std::string_view::npos ? "/" : target.substr(slash);
    }
  }
  return target;
}

}  // namespace

std::string_view method_name(Method m) { return kMethods[static_cast<std::size_t>(m)]; }

Method parse_method(std::string_view name) {
  for (std::size_t i = 0; i + 1 < kMethods.size(); ++i) {
    if (kMethods[i] == name) return static_cast<Method>(i);
  }
  return Method::Other;
}

Result<Request> Request::make(Method method, std::string_view target,
                              const std::vector<Header>& headers, std::string body) {
  Request request;
  TG_CHECK(request.set_target(method, target));
  for (const Header& h : headers) TG_CHECK(request.add_header(h.name, h.value));
  request.body_ = std::move(body);
  return request;
}

void Request::clear() {
  // One large body must not stay with an idle connection for ever.
  constexpr std::size_t kKeep = 64 << 10;
  if (body_.capacity() > kKeep) std::string().swap(body_);
  method_ = Method::Other;
  path_size_ = 0;
  for (std::string* s : {&target_, &decoded_, &header_text_, &body_, &request_id_}) s->clear();
  segments_.clear();
  query_.clear();
  headers_.clear();
  param_names_ = nullptr;
}

Status Request::set_target(Method method, std::string_view target) {
  method_ = method;
  target_.assign(strip_authority(target));
  path_size_ = 0;
  decoded_.clear();
  segments_.clear();
  query_.clear();
  for (char c : target_) {
    if (c <= ' ' || c >= 0x7f || c == '#') {  // char is signed: bytes ≥ 0x80 are below ' '
      return fail(Code::Malformed,
                  "the request target has a control, non-ASCII or '#' character; percent-encode it",
                  "bad_target");
    }
  }
  if (target_.empty() || target_[0] != '/') {
    return fail(Code::Malformed, "the request target must be a path that starts with '/'",
                "bad_target");
  }
  const std::string_view text = target_;
  const std::size_t mark = text.find('?');
  path_size_ = mark == std::string_view::npos ? text.size() : mark;
  TG_CHECK(split_path(text.substr(0, path_size_)));
  return mark == std::string_view::npos ? Status{} : split_query(text.substr(mark + 1));
}

Status Request::split_path(std::string_view path) {
  path.remove_prefix(1);
  while (!path.empty() || !segments_.empty()) {
    const std::size_t slash = path.find('/');
    const std::size_t from = decoded_.size();
    TG_CHECK(percent_decode(path.substr(0, slash), false, "the path", decoded_));
    const std::string_view segment = std::string_view(decoded_).substr(from);
    if (segment.empty()) {
      return fail(Code::Malformed,
                  "the path has an empty segment ('//' or a '/' at its end); leave it out",
                  "bad_target");
    }
    if (segment == "." || segment == "..") {
      return fail(Code::Malformed, "the path has a '.' or '..' segment; send the resolved path",
                  "bad_target");
    }
    if (segments_.size() == kMaxSegments) {
      return fail(Code::Malformed, "the path has more than 32 segments", "bad_target");
    }
    segments_.push_back(
        {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(segment.size())});
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return {};
}

Status Request::split_query(std::string_view text) {
  const auto decode = [this](std::string_view part) -> Result<Range> {
    const std::size_t from = decoded_.size();
    TG_CHECK(percent_decode(part, true, "the query", decoded_));
    return Range{static_cast<std::uint32_t>(from),
                 static_cast<std::uint32_t>(decoded_.size() - from)};
  };
  while (!text.empty()) {
    const std::size_t end = text.find('&');
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (item.empty()) continue;
    if (query_.size() == kMaxQuery) {
      return fail(Code::Malformed, "the query has more than 100 parameters", "bad_target");
    }
    const std::size_t eq = item.find('=');
    TG_TRY(const Range name, decode(item.substr(0, eq)));
    TG_TRY(const Range value,
           decode(eq == std::string_view::npos ? std::string_view() : item.substr(eq + 1)));
    query_.push_back({name, value});
  }
  return {};
}

std::string_view Request::param(std::string_view name) const {
  if (param_names_ == nullptr) return {};
  for (const auto& [known, index] : *param_names_) {
    if (known == name) return segment(index);
  }
  return {};
}

std::optional<std::string_view> Request::query(std::string_view name) const {
  for (const RangePair& q : query_) {
    if (q.name.of(decoded_) == name) return q.value.of(decoded_);
  }
  return std::nullopt;
}

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const RangePair& h : headers_) {
    if (same_name(h.name.of(header_text_), name)) return h.value.of(header_text_);
  }
  return std::nullopt;
}

Status Request::add_header(std::string_view name, std::string_view value) {
  if (headers_.size() == kMaxHeaders) {
    return fail(Code::TooLarge, "the request has more than 100 headers", "headers_too_large");
  }
  const auto from = static_cast<std::uint32_t>(header_text_.size());
  const auto name_size = static_cast<std::uint32_t>(name.size());
  header_text_.append(name).append(value);
  headers_.push_back(
      {{from, name_size}, {from + name_size, static_cast<std::uint32_t>(value.size())}});
  return {};
}

void Request::set_peer(std::string remote, bool secure) {
  remote_ = std::move(remote);
  secure_ = secure;
}

}  // namespace tidegate::http
