#include "engine/core/source.h"

namespace tidegate::engine {

Result<std::vector<Partition>> Source::plan(const ReadParams&) {
  return std::vector<Partition>{Partition{}};
}

}  // namespace tidegate::engine
