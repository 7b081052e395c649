#pragma once
// Version of this build, the same in every binary of one build.

#include <string_view>

namespace tidegate {

std::string_view version();  // "0.1.0", from CMake's project()

}  // namespace tidegate
