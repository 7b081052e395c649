#pragma once
// How a source tells that a `where` of the user's is the reason of an error.

#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::engine {

// The error, its message behind `entity "orders": the condition `where` WHAT: `.
Error of_condition(std::string_view entity, std::string_view what, Error error);

}  // namespace tidegate::engine
