#include "base/error.h"

namespace tidegate {
namespace {

constexpr bool table_is_in_enum_order() {
  for (std::size_t i = 0; i < std::size(kCodeTable); ++i) {
    if (static_cast<std::size_t>(kCodeTable[i].code) != i) return false;
  }
  return std::size(kCodeTable) == static_cast<std::size_t>(Code::Internal) + 1;
}
static_assert(table_is_in_enum_order(), "traits() indexes kCodeTable by the enum's value");

}  // namespace

std::string describe(const Error& error) {
  std::string text = error.message;
  for (const FieldError& d : error.details) {
    text += text.empty() ? "" : "\n  ";
    text += d.field + ": " + d.message;
  }
  return text;
}

}  // namespace tidegate
