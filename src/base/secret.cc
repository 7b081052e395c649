#include "base/secret.h"

#include <string.h>

namespace tidegate {

Secret::~Secret() { explicit_bzero(value_.data(), value_.size()); }

}  // namespace tidegate
