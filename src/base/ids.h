#pragma once
// Strong types for identifiers. An id is opaque text: UUIDv7 (RFC 9562), so ids sort by creation.

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace tidegate {

template <class Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string value) : value_(std::move(value)) {}
  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string value_;
};

using WorkspaceId = Id<struct WorkspaceTag>;
using JobId = Id<struct JobTag>;
using RunId = Id<struct RunTag>;
using ConnectionId = Id<struct ConnectionTag>;  // a data source or a destination
using TokenId = Id<struct TokenTag>;
using OwnerId = Id<struct OwnerTag>;  // one start of one process; never reused

// Grows with each new owner; a write under an older one is refused (docs/glossary.md). 0 is "none".
enum class Fence : std::int64_t {};
constexpr std::int64_t value(Fence f) { return static_cast<std::int64_t>(f); }

class Clock;
class Rng;
// REQUIRES: nothing. Thread-safe when `rng` is.
std::string new_uuid_v7(const Clock& clock, Rng& rng);
template <class T>
T new_id(const Clock& clock, Rng& rng) {
  return T(new_uuid_v7(clock, rng));
}

}  // namespace tidegate

template <class Tag>
struct std::hash<tidegate::Id<Tag>> {
  std::size_t operator()(const tidegate::Id<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};
