#pragma once
// The one place that opens and closes DuckDB files. DuckDB locks a file against other processes
// only (fcntl(2)), and those locks are the process's: a second instance of a file in one process
// would write over the first, and closing one would unlock the other. So a process has one instance
// of a file, whoever asks.

#include <memory>
#include <string>
#include <string_view>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/file.h"

namespace tidegate::engine::duckdb {

struct Instance {
  const Api* api = nullptr;
  Database database = nullptr;
  std::string path;
  bool writable = false;
  FileId file;  // as it was opened; none: in memory
};

// The reason of an error that says that somebody else has the file.
inline constexpr const char* kFileInUse = "file_in_use";

// As Db::open(). Thread-safe.
Result<std::shared_ptr<Instance>> open_instance(const std::string& path, Open how, Millis patience,
                                                const Context& context,
                                                const std::function<void()>& on_blocked);
Result<std::shared_ptr<Instance>> scratch_instance();

// The caller destroys it. Unsupported, naming it: the library refuses a setting, without which it
// might reach other files.
Result<Config> make_config(const Api& api, Open how);

// How an error begins that is of a statement or a row, not of the file.
inline constexpr std::string_view kRefuses = "DuckDB refuses: ";

// What a message of DuckDB's means. `type` 0: the message itself says what it is about, or nothing
// does. Its words count only where no value of a row can stand in it.
Error error_of(const std::string& path, int type, std::string_view message);

}  // namespace tidegate::engine::duckdb
