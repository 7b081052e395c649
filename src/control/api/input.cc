#include "control/api/input.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "base/text.h"
#include "control/model/text_field.h"
#include "control/secrets/tokens.h"
#include "control/store/rules.h"

namespace tidegate::api {

Result<boost::json::object> body_object(const Call& call) {
  TG_CHECK(http::require_json(call.request));
  TG_TRY(auto value,
         json::parse(call.request.body(), {.max_bytes = call.services.options.max_body_bytes}));
  if (!value.is_object()) {
    return fail(Code::Invalid,
                fmt::format("the body must be a JSON object, not {}", json::type_name(value)),
                "body_not_object");
  }
  return std::move(value.get_object());
}

Result<boost::json::object> optional_body(const Call& call) {
  if (call.request.body().empty()) return boost::json::object{};
  return body_object(call);
}

Result<store::IfRevision> if_match(const http::Request& request) {
  const auto header = request.header("if-match");
  if (!header || *header == "*") return std::nullopt;
  std::string_view tag = *header;
  std::int64_t revision = 0;
  if (tag.size() > 2 && tag.front() == '"' && tag.back() == '"') {
    tag = tag.substr(1, tag.size() - 2);
    const auto [end, ec] = std::from_chars(tag.data(), tag.data() + tag.size(), revision);
    if (ec == std::errc() && end == tag.data() + tag.size()) return revision;
  }
  return fail(
      Code::PreconditionFailed,
      "If-Match is not an ETag of this resource; send the ETag of your last read, such as \"3\"",
      "revision_mismatch");
}

Status check_revision(store::IfRevision wanted, std::int64_t current) {
  if (!wanted || *wanted == current) return {};
  return store::rules::stale_revision(current);
}

Status read_empty_body(const Call& call) {
  TG_TRY(const auto body, optional_body(call));
  std::vector<FieldError> errors;
  json::Reader(body, "", errors).finish();
  return refuse(std::move(errors), "the body is not valid; see details", "invalid_body");
}

namespace {

// A workspace may be named or given by its id: to a key they are one.
std::string resource_path(const Call& call) {
  constexpr std::string_view kWorkspaces = "/api/workspaces/";
  const std::string_view path = call.request.path();
  if (call.workspace.empty() || !path.starts_with(kWorkspaces)) return std::string(path);
  const std::size_t rest = std::min(path.find('/', kWorkspaces.size()), path.size());
  return fmt::format("{}{}{}", kWorkspaces, call.workspace.str(), path.substr(rest));
}

}  // namespace

Result<std::optional<store::Idempotency>> idempotency(const Call& call) {
  const auto key = call.request.header("idempotency-key");
  if (!key) return std::nullopt;
  const bool printable = std::ranges::all_of(
      *key, [](char c) { return c > ' ' && static_cast<unsigned char>(c) < 0x7f; });
  if (key->empty() || key->size() > 200 || !printable) {
    return fail(
        Error{Code::Invalid,
              "the Idempotency-Key header is not valid",
              "bad_idempotency_key",
              {{"Idempotency-Key", "must be 1 to 200 printable ASCII characters without blanks",
                std::nullopt}}});
  }
  store::Idempotency once;
  once.scope = fmt::format("{} {}", call.principal.token.str(), resource_path(call));
  once.key = *key;
  once.body_hash = secrets::sha256_hex(call.request.body());
  return once;
}

Result<bool> is_replay(const Call& call, const std::optional<store::Idempotency>& once) {
  if (!once) return false;
  TG_TRY(const auto earlier, call.store().find_replay(*once));
  return earlier.has_value();
}

std::optional<std::string_view> Query::raw(std::string_view name) {
  known_.insert(name);
  std::optional<std::string_view> found;
  for (std::size_t i = 0; i < request_.query_count(); ++i) {
    if (request_.query_at(i).name != name) continue;
    if (found) {
      error(name, "is given twice; give it once");
      return std::nullopt;
    }
    found = request_.query_at(i).value;
  }
  return found;
}

void Query::error(std::string_view name, std::string message) {
  errors_.push_back({std::string(name), std::move(message), std::nullopt});
}

std::optional<std::string> Query::text(std::string_view name, std::size_t max_chars) {
  const auto v = raw(name);
  if (!v) return std::nullopt;
  if (std::string problem = model::name_problem(*v, max_chars); !problem.empty()) {
    error(name, std::move(problem));
    return std::nullopt;
  }
  return std::string(*v);
}

std::optional<std::int64_t> Query::integer(std::string_view name, std::int64_t min,
                                           std::int64_t max) {
  const auto v = raw(name);
  if (!v) return std::nullopt;
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(v->data(), v->data() + v->size(), n);
  if (ec == std::errc() && end == v->data() + v->size() && n >= min && n <= max) return n;
  error(name, fmt::format("must be a whole number between {} and {}", min, max));
  return std::nullopt;
}

std::optional<bool> Query::boolean(std::string_view name) {
  const auto v = raw(name);
  if (!v) return std::nullopt;
  if (*v == "true" || *v == "false") return *v == "true";
  error(name, "must be true or false");
  return std::nullopt;
}

std::optional<Instant> Query::time(std::string_view name) {
  const auto v = text(name, 64);
  if (!v) return std::nullopt;
  auto t = parse_rfc3339(*v);
  if (t) return *t;
  error(name, t.error().message);
  return std::nullopt;
}

std::optional<std::size_t> Query::one_of(std::string_view name,
                                         std::span<const std::string_view> names) {
  const auto v = raw(name);
  if (!v) return std::nullopt;
  const auto it = std::ranges::find(names, *v);
  if (it != names.end()) return static_cast<std::size_t>(it - names.begin());
  error(name, fmt::format("must be {}", json::list_of(names)));
  return std::nullopt;
}

store::Page Query::page() {
  store::Page page;
  if (const auto n = integer("limit", 1, 1000)) page.limit = static_cast<std::size_t>(*n);
  page.cursor = text("cursor", 4096);
  return page;
}

void Query::fields() {
  const auto list = text("fields", 2000);
  if (!list) return;
  std::string_view rest = *list;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view name = rest.substr(0, comma);
    if (name.empty()) {
      error("fields", "has an empty name; write names separated by commas");
      return;
    }
    if (!wanted_.emplace(name).second) {
      error("fields", fmt::format("has '{}' twice", name));
      return;
    }
    if (comma == std::string_view::npos) return;
    rest.remove_prefix(comma + 1);
  }
}

Status Query::finish() {
  const std::vector<std::string_view> names(known_.begin(), known_.end());
  for (std::size_t i = 0; i < request_.query_count(); ++i) {
    const std::string_view name = request_.query_at(i).name;
    if (known_.contains(name)) continue;
    const std::string_view near = json::nearest(name, names);
    error(clip(name, 100), near.empty()
                               ? std::string("is not a known parameter; remove it")
                               : fmt::format("is not a known parameter; did you mean '{}'?", near));
  }
  return refuse(std::move(errors_), "the query is not valid; see details", "invalid_query");
}

Status refuse(std::vector<FieldError> errors, std::string message, std::string reason) {
  if (errors.empty()) return {};
  return fail(Error{Code::Invalid, std::move(message), std::move(reason), std::move(errors)});
}

}  // namespace tidegate::api
