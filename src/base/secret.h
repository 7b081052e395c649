#pragma once
// Text that must never be printed: it has no stream operator and no implicit conversion.

#include <string>
#include <string_view>
#include <utility>

namespace tidegate {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) noexcept = default;
  ~Secret();  // wipes

  // The only way out; call it where the value leaves for the place it is meant for.
  std::string_view reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string value_;
};

inline constexpr std::string_view kMasked = "***";

}  // namespace tidegate
