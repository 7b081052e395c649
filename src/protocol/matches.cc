// How a RunSpec names entities.

#include <fnmatch.h>

#include "protocol/protocol.h"

namespace tidegate::protocol {

bool matches(const std::string& pattern, const std::string& name) {
  return pattern == name || fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

}  // namespace tidegate::protocol
