#include "cli/api_client.h"

#include <fmt/format.h>

#include "base/json.h"
#include "cli/output.h"

namespace tidegate::cli {
namespace {

constexpr json::Limits kAnswerLimits{.max_bytes = 256 << 20, .max_depth = 64};

Code code_of(int status) {
  for (const CodeTraits& t : kCodeTable) {
    if (t.http_status == status && t.code != Code::Fenced) return t.code;
  }
  return status >= 500 ? Code::Unavailable : status >= 400 ? Code::Invalid : Code::Internal;
}

}  // namespace

bool looks_like_id(std::string_view ref) {
  if (ref.size() != 36) return false;
  for (std::size_t i = 0; i < ref.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? ref[i] != '-' : !std::isxdigit(static_cast<unsigned char>(ref[i]))) return false;
  }
  return true;
}

std::string text_at(const boost::json::value& row, std::string_view path) {
  const auto* s = at_path(row, path).if_string();
  return s ? std::string(std::string_view(*s)) : "";
}

Result<ApiClient> ApiClient::connect(Context& context, const Args& args) {
  TG_TRY(Target target, locate(context, args));
  return ApiClient(context, std::move(target));
}

httpclient::Request ApiClient::request(const Call& call) const {
  httpclient::Request r;
  r.method = call.method;
  r.url =
      target_.url + (call.path.starts_with("/api/") || call.path == "/readyz"
                         ? call.path
                         : "/api/workspaces/" + httpclient::escape(target_.workspace) + call.path);
  for (std::size_t i = 0; i < call.query.size(); ++i) {
    r.url += fmt::format("{}{}={}", i == 0 ? "?" : "&", call.query[i].first,
                         httpclient::escape(call.query[i].second));
  }
  if (!target_.token.empty())
    r.headers.emplace_back("Authorization", fmt::format("Bearer {}", target_.token.reveal()));
  r.headers.emplace_back("Accept", "application/json");
  if (!call.body.is_null()) {
    r.body = json::write(call.body);
    r.headers.emplace_back("Content-Type", "application/json");
  }
  if (!call.if_match.empty())
    r.headers.emplace_back("If-Match", fmt::format("\"{}\"", call.if_match));
  r.ca_file = target_.ca_file;
  r.timeout = call.timeout;
  r.cancelled = context_->interrupted;
  return r;
}

Error ApiClient::unreachable(const Error& cause, const httpclient::Request& request) const {
  if (cause.code != Code::Unavailable) return cause;
  const bool silent = cause.reason == "timeout";
  const bool changes = request.method != "GET" && request.method != "HEAD";
  return {Code::Unavailable,
          fmt::format("{} (address from {}). {}{}", cause.message, target_.url_from,
                      silent && changes
                          ? "The request may still be carried out: look before you repeat it. "
                          : "",
                      remedy_for_no_answer(context_->io, target_, cause.reason)),
          cause.reason,
          {}};
}

Error ApiClient::server_error(const httpclient::Response& answer) const {
  Error error{code_of(answer.status), "", "", {}};
  const auto v = json::parse(answer.body, kAnswerLimits);
  if (!v || !v->is_object() || !v->get_object().contains("error")) {
    error.message = fmt::format(
        "{} answered {} without Tidegate's form of error; is that address a Tidegate server "
        "(from {})?",
        target_.url, answer.status, target_.url_from);
    return error;
  }
  error.message = text_at(*v, "error");
  error.reason = text_at(*v, "code");
  if (const auto* details = at_path(*v, "details").if_array()) {
    for (const auto& d : *details) {
      FieldError f{text_at(d, "field"), text_at(d, "message"), std::nullopt};
      if (const auto* position = at_path(d, "position").if_int64())
        f.position = static_cast<std::size_t>(*position);
      error.details.push_back(std::move(f));
    }
  }
  if (error.code == Code::Unauthorized) {
    error.message +=
        target_.token.empty()
            ? fmt::format(". No token is known for {}; give --token-file or run `tidegate login`",
                          target_.url)
            : fmt::format(". The token is from {}", target_.token_from);
  }
  return error;
}

Result<httpclient::Response> ApiClient::send(const httpclient::Request& r) {
  auto answer = context_->transport->send(r);
  if (!answer) return fail(unreachable(answer.error(), r));
  if (answer->status / 100 != 2) return fail(server_error(*answer));
  return std::move(*answer);
}

Result<boost::json::value> ApiClient::call(const Call& call) {
  TG_TRY(const httpclient::Response answer, send(request(call)));
  if (answer.body.empty()) return nullptr;
  TG_TRY(boost::json::value v, json::parse(answer.body, kAnswerLimits));
  return at_path(v, "data");
}

Result<boost::json::array> ApiClient::list(
    const std::string& path, const std::vector<std::pair<std::string, std::string>>& query,
    std::size_t max) {
  boost::json::array out;
  std::string cursor;
  do {
    Call call{.path = path, .query = query, .body = nullptr};
    call.query.emplace_back("limit", std::to_string(std::min<std::size_t>(max - out.size(), 200)));
    if (!cursor.empty()) call.query.emplace_back("cursor", cursor);
    TG_TRY(const httpclient::Response answer, send(request(call)));
    TG_TRY(const boost::json::value v, json::parse(answer.body, kAnswerLimits));
    const auto* items = at_path(v, "data").if_array();
    if (!items)
      return fail(Code::Internal, fmt::format("{} answered no list for {}", target_.url, path));
    for (const auto& item : *items) out.push_back(item);
    cursor = items->empty() ? "" : text_at(v, "nextCursor");
  } while (!cursor.empty() && out.size() < max);
  return out;
}

Result<boost::json::object> ApiClient::find(const std::string& path, std::string_view what,
                                            const std::string& ref) {
  if (looks_like_id(ref)) {
    TG_TRY(boost::json::value v, call({.path = path + "/" + ref, .body = nullptr}));
    if (v.is_object()) return std::move(v.get_object());
  }
  TG_TRY(const boost::json::array all, list(path));
  std::vector<std::string> names;
  const boost::json::value* found = nullptr;
  for (const auto& item : all) {
    names.push_back(text_at(item, "name"));
    if (names.back() != ref && text_at(item, "id") != ref) continue;
    found = &item;
  }
  // A list may leave fields out; the item itself has all of them.
  if (found) {
    TG_TRY(boost::json::value v,
           call({.path = path + "/" + text_at(*found, "id"), .body = nullptr}));
    if (v.is_object()) return std::move(v.get_object());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = json::nearest(ref, views);
  return fail(Code::NotFound,
              fmt::format("there is no {} \"{}\"{}{}", what, ref,
                          path.starts_with("/api/") ? "" : " in workspace " + target_.workspace,
                          near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)),
              fmt::format("{}_not_found", what));
}

Status ApiClient::events(const std::string& path, const std::string& last_id,
                         const std::function<bool(const Event&)>& on_event) {
  EventParser parser;
  httpclient::Request r = request({.path = path, .body = nullptr});
  r.headers.pop_back();  // Accept: application/json
  r.headers.emplace_back("Accept", "text/event-stream");
  if (!last_id.empty()) r.headers.emplace_back("Last-Event-ID", last_id);
  r.timeout = Millis(0);
  r.idle_timeout = kStreamSilence;
  r.on_data = [&](std::string_view bytes) { return parser.feed(bytes, on_event); };
  TG_TRY(const httpclient::Response answer, send(r));
  return {};
}

bool EventParser::feed(std::string_view bytes,
                       const std::function<bool(const ApiClient::Event&)>& on_event) {
  for (const char c : bytes) {
    const bool line_ends = c == '\r' || (c == '\n' && !after_cr_);
    const bool skip = c == '\n' && after_cr_;
    after_cr_ = c == '\r';
    if (skip) continue;
    if (!line_ends) {
      line_ += c;
      continue;
    }
    const std::string line = std::exchange(line_, {});
    if (line.empty()) {
      ApiClient::Event event = std::exchange(event_, {});
      event_.id = event.id;  // the last id holds for the events after it
      if (std::exchange(has_data_, false) && !on_event(event)) return false;
      continue;
    }
    const std::size_t colon = line.find(':');
    const std::string_view name = std::string_view(line).substr(0, colon);
    std::string_view value =
        colon == std::string::npos ? "" : std::string_view(line).substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "id") event_.id = value;
    if (name == "event") event_.event = value;
    if (name == "data") {
      event_.data += (has_data_ ? "\n" : "") + std::string(value);
      has_data_ = true;
    }
  }
  return true;
}

}  // namespace tidegate::cli
