#pragma once
// A DuckDB file and what DuckDB keeps beside it, as the file system sees them.

#include <sys/types.h>

#include <string>

#include "base/error.h"

namespace tidegate::engine::duckdb {

// Which file a name means; {0, 0}: none.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
};
FileId file_id(const std::string& path);

// False too for an empty file: a creation that failed leaves one, and DuckDB opens none.
bool holds_something(const std::string& path);

// DuckDB opens PATH, PATH.wal and PATH.tmp wherever symbolic links there lead, past the path
// policy. Forbidden, naming what to remove: one is a link, or not what DuckDB makes there.
Status check_places(const std::string& path);

// What was made, renamed or removed in the folder of `path` is so after a power cut too.
Status sync_folder(const std::string& path);

// A name beside `path` that nothing has.
Result<std::string> fresh_name(const std::string& path);

// Gives the database `made`, which nobody has open, its name `path`, for good. An empty file there
// that nobody has locked makes way; another one stays, and `made` keeps its name.
Status put_in_place(const std::string& made, const std::string& path);

}  // namespace tidegate::engine::duckdb
