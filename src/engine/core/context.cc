#include "engine/core/context.h"

namespace tidegate::engine {
namespace {
constexpr std::string_view kBadData = "bad_data";
}

Error data_error(std::string message) {
  return {Code::Invalid, std::move(message), std::string(kBadData), {}};
}

std::string error_text(const Error& error) {
  std::string text = error.message;
  for (const FieldError& d : error.details) {
    if (text.find(d.message) == std::string::npos) text += "; " + d.field + ": " + d.message;
  }
  return text;
}

std::string_view error_kind(const Error& error) {
  if (error.reason == kBadData) return "data";
  switch (error.code) {
    case Code::Malformed:
    case Code::Invalid:
    case Code::NotFound:
    case Code::Conflict:
    case Code::PreconditionFailed:
    case Code::TooLarge:
    case Code::Unsupported:
      return "configuration";
    case Code::Unauthorized:
    case Code::Forbidden:
      return "permission";
    case Code::RateLimited:
      return "rate_limited";
    case Code::Unavailable:
      return "transient";
    case Code::Fenced:
      return "fenced";
    case Code::Cancelled:
      return "cancelled";
    case Code::Internal:
      break;
  }
  return "internal";
}

}  // namespace tidegate::engine
