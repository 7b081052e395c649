#pragma once
// Rows that cannot be read (damaged, or written by a newer version): one must not stop the work on
// all others.

#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::store {

// Thread-safe.
class BadRows {
 public:
  // Whether the work goes on without the row: false when the store itself is away. Logs each row
  // once.
  bool skip(std::string_view what, const std::string& id, const Error& error);

 private:
  std::mutex mutex_;
  std::set<std::string> logged_;  // guarded by mutex_; bounded
};

}  // namespace tidegate::store
