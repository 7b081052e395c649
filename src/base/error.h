#pragma once
// The one error type of Tidegate and the one table of what an error code means outside.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidegate {

// Says what the caller must do, not where the error came from.
enum class Code : std::uint8_t {
  Malformed,           // the bytes cannot be read as what they should be: send something else
  Invalid,             // readable, but wrong: correct the fields in `details`
  Unauthorized,        // no or unknown credentials
  Forbidden,           // known, but not allowed
  NotFound,            // the thing named does not exist
  Conflict,            // exists already, is in use, or changed meanwhile: look, then decide
  PreconditionFailed,  // the revision in If-Match is stale: read again
  TooLarge,            // a size limit was passed
  Unsupported,         // media type, method or feature not offered
  RateLimited,         // try again after a while
  Fenced,              // somebody else owns the work now: stop, write nothing
  Unavailable,         // a dependency is away: retry with backoff
  Cancelled,           // asked to stop
  Internal,            // a defect or an environment failure: report it
};

enum class LogLevel : std::uint8_t { Debug, Info, Warn, Error };

struct CodeTraits {
  Code code;
  std::string_view name;
  int http_status;
  int exit_code;  // of the CLI: 1 failed, 2 the user's input, 130 interrupted
  LogLevel log_level;
};

inline constexpr CodeTraits kCodeTable[] = {
    {Code::Malformed, "malformed", 400, 2, LogLevel::Info},
    {Code::Invalid, "invalid", 422, 2, LogLevel::Info},
    {Code::Unauthorized, "unauthorized", 401, 2, LogLevel::Info},
    {Code::Forbidden, "forbidden", 403, 2, LogLevel::Info},
    {Code::NotFound, "not_found", 404, 2, LogLevel::Info},
    {Code::Conflict, "conflict", 409, 1, LogLevel::Info},
    {Code::PreconditionFailed, "precondition_failed", 412, 1, LogLevel::Info},
    {Code::TooLarge, "too_large", 413, 2, LogLevel::Info},
    {Code::Unsupported, "unsupported", 415, 2, LogLevel::Info},
    {Code::RateLimited, "rate_limited", 429, 1, LogLevel::Info},
    {Code::Fenced, "fenced", 409, 1, LogLevel::Warn},
    {Code::Unavailable, "unavailable", 503, 1, LogLevel::Warn},
    {Code::Cancelled, "cancelled", 499, 130, LogLevel::Info},
    {Code::Internal, "internal", 500, 1, LogLevel::Error},
};

constexpr const CodeTraits& traits(Code code) { return kCodeTable[static_cast<std::size_t>(code)]; }

// One wrong field. `field` is the JSON path as the user wrote it (`schedule.cron`,
// `entities["a"].cursor`).
struct FieldError {
  std::string field;
  std::string message;                  // the value's problem and the remedy
  std::optional<std::size_t> position;  // offset in the value, 0-based, in bytes

  bool operator==(const FieldError&) const = default;
};

// Never holds a secret: whoever builds a message masks first.
struct Error {
  Code code = Code::Internal;
  std::string message;  // a sentence: what happened and what to do
  std::string reason;   // stable snake_case slug of the API (`job_not_found`); may be empty
  std::vector<FieldError> details;  // for Invalid and Malformed

  std::string_view slug() const { return reason.empty() ? traits(code).name : reason; }
  bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Code code, std::string message, std::string reason = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(reason), {}});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

// `field: message` for one, or a list of them; for logs and terminals.
std::string describe(const Error& error);

}  // namespace tidegate

// Returns the error of a Result from the enclosing function, or binds its value:
//   TG_TRY(auto job, store.get_job(id));      TG_CHECK(store.ping());
#define TG_CONCAT_INNER(a, b) a##b
#define TG_CONCAT(a, b) TG_CONCAT_INNER(a, b)
#define TG_TRY_IMPL(tmp, decl, expr)                        \
  auto tmp = (expr);                                        \
  if (!tmp) return std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define TG_TRY(decl, ...) TG_TRY_IMPL(TG_CONCAT(tg_try_, __LINE__), decl, (__VA_ARGS__))
#define TG_CHECK(...)                                       \
  do {                                                      \
    if (auto tg_status = (__VA_ARGS__); !tg_status)         \
      return std::unexpected(std::move(tg_status).error()); \
  } while (false)
