#pragma once
// Reading a request: its body, query, conditions and idempotency key, with errors that name them.

#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/api/route.h"
#include "control/store/types.h"

namespace tidegate::api {

// The body as a JSON object. Unsupported, Malformed, TooLarge; Invalid when it is no object.
Result<boost::json::object> body_object(const Call& call);
// The same, but an empty body is an empty object and needs no Content-Type.
Result<boost::json::object> optional_body(const Call& call);
// A body that takes no field at all. Invalid: it has one.
Status read_empty_body(const Call& call);

// The revision in If-Match; nullopt: no such header, or `*`. PreconditionFailed: an entity tag that
// this server never gave.
Result<store::IfRevision> if_match(const http::Request& request);
// PreconditionFailed: `wanted` is another revision than the `current` one. For what is not written;
// a write compares in its transaction.
Status check_revision(store::IfRevision wanted, std::int64_t current);
// Idempotency-Key of a POST, bound to the token, the path and the body. Invalid: a bad key.
Result<std::optional<store::Idempotency>> idempotency(const Call& call);
// Whether an earlier request with that key has been answered. Conflict: with another body.
Result<bool> is_replay(const Call& call, const std::optional<store::Idempotency>& once);

// Query parameters; each wrong one adds an error; ask for all, then finish(): others are unknown.
class Query {
 public:
  explicit Query(const http::Request& request) : request_(request) {}

  // One line, 1 to max_chars characters.
  std::optional<std::string> text(std::string_view name, std::size_t max_chars = 200);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  std::optional<bool> boolean(std::string_view name);
  std::optional<Instant> time(std::string_view name);
  std::optional<std::size_t> one_of(std::string_view name, std::span<const std::string_view> names);
  // limit (1–1000, default 50) and cursor.
  store::Page page();
  // `fields=a,b`: what fields() then says.
  void fields();
  const std::set<std::string, std::less<>>& wanted() const { return wanted_; }
  void error(std::string_view name, std::string message);
  // Invalid with every error.
  Status finish();

 private:
  std::optional<std::string_view> raw(std::string_view name);

  const http::Request& request_;
  std::set<std::string_view> known_;
  std::set<std::string, std::less<>> wanted_;
  std::vector<FieldError> errors_;
};

// Invalid with `errors`, when there are any.
Status refuse(std::vector<FieldError> errors, std::string message, std::string reason);

}  // namespace tidegate::api
