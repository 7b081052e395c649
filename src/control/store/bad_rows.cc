#include "control/store/bad_rows.h"

#include "base/log.h"

namespace tidegate::store {
namespace {

constexpr std::size_t kMostLogged = 1000;

}  // namespace

bool BadRows::skip(std::string_view what, const std::string& id, const Error& error) {
  if (error.code == Code::Unavailable) return false;
  const std::lock_guard lock(mutex_);
  if (logged_.size() < kMostLogged && logged_.insert(id).second) {
    log::error("a row of the store cannot be read and is left out",
               {{"row", std::string(what) + " " + id}, {"error", error.message}});
  }
  return true;
}

}  // namespace tidegate::store
