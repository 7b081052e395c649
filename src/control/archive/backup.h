#pragma once
// From a store into a file, while servers work on it.

#include <functional>
#include <string>

#include "control/archive/format.h"
#include "control/store/store.h"

namespace tidegate::archive {

// Called after every page; an error ends the work, which cleans up and returns it.
using Progress = std::function<Status(std::int64_t records)>;

struct BackupParams {
  std::string path;
  bool replace = false;  // an existing file
};
struct BackupReport {
  Header header;
  Trailer trailer;
  std::int64_t bytes = 0;  // of the file
};
// The file is complete and was read again when it gets its name. Errors of the store and of
// FileWriter; Unavailable `store_busy`: the store shows no moment as a whole and changed too much
// each time.
Result<BackupReport> backup(store::Store& store, const Clock& clock, const BackupParams& params,
                            const Progress& progress);

}  // namespace tidegate::archive
