#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "control/http/http.h"

namespace tidegate::http {
namespace {

bool ends_with_json(std::string_view media_type) {
  return media_type == "application/json" ||
         (media_type.starts_with("application/") && media_type.ends_with("+json"));
}

// Parameters and surrounding blanks cut off, lower case.
std::string media_type_of(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return type;
}

// Where HTTP has a finer status than the error table; the reasons are this module's own.
int status_of(const Error& error) {
  static constexpr std::pair<std::string_view, int> kFiner[] = {
      {"method_not_allowed", 405},
      {"request_timeout", 408},
      {"expectation_failed", 417},
      {"headers_too_large", 431},
  };
  for (const auto& [reason, status] : kFiner) {
    if (error.reason == reason) return status;
  }
  return traits(error.code).http_status;
}

}  // namespace

Response error_response(const Error& error, std::string_view reference) {
  const CodeTraits& t = traits(error.code);
  boost::json::object body;
  body["success"] = false;
  if (error.code == Code::Internal) {
    // Internals stay in the log: a message from the store or the system may name hosts and paths.
    log::error("request failed", {{"requestId", reference}, {"error", describe(error)}});
    body["error"] = "an internal error occurred; the server's log has it under reference " +
                    std::string(reference);
    body["code"] = t.name;
    body["reference"] = reference;
  } else {
    body["error"] = error.message;
    body["code"] = error.slug();
    if (!error.details.empty()) {
      boost::json::array details;
      for (const FieldError& d : error.details) {
        boost::json::object item;
        item["field"] = d.field;
        item["message"] = d.message;
        if (d.position) item["position"] = *d.position;
        details.push_back(std::move(item));
      }
      body["details"] = std::move(details);
    }
  }
  Response response{.status = status_of(error), .body = boost::json::serialize(body)};
  if (error.code == Code::RateLimited || error.code == Code::Unavailable) {
    response.headers.push_back({"Retry-After", "1"});
  }
  if (error.code == Code::Unauthorized) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  }
  return response;
}

Status require_json(const Request& request) {
  const auto type = request.header("content-type");
  if (type && ends_with_json(media_type_of(*type))) return {};
  return fail(Code::Unsupported,
              type ? "Content-Type is " + std::string(*type) + "; send application/json"
                   : std::string("Content-Type is missing; send application/json"),
              "unsupported_media_type");
}

std::string format_event(std::string_view id, std::string_view event, std::string_view data) {
  // A line end inside a field would start a new field.
  const auto one_line = [](std::string_view s) { return s.substr(0, s.find_first_of("\r\n")); };
  std::string out;
  out.reserve(id.size() + event.size() + data.size() + 32);
  if (!id.empty()) out.append("id: ").append(one_line(id)).append("\n");
  if (!event.empty()) out.append("event: ").append(one_line(event)).append("\n");
  for (bool more = true; more;) {
    const std::size_t end = data.find_first_of("\r\n");
    out.append("data: ").append(data.substr(0, end)).append("\n");
    more = end != std::string_view::npos;
    if (more) data.remove_prefix(end + (data.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  out.append("\n");
  return out;
}

}  // namespace tidegate::http
