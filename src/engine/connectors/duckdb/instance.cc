#include "engine/connectors/duckdb/instance.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/text.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr auto kLook = std::chrono::milliseconds(20);
constexpr auto kBlockedAfter = std::chrono::seconds(1);
constexpr const char* kLocked = "Could not set lock on file";

// Of a file, while somebody has its instance, and until that is closed.
struct OpenFiles {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Instance>> files;
};
OpenFiles& open_files() {
  static auto* const kOpen = new OpenFiles;  // outlives every instance
  return *kOpen;
}

void close_file(Instance* instance) {
  OpenFiles& all = open_files();
  const std::scoped_lock lock(all.mutex);
  instance->api->close(&instance->database);
  if (!instance->path.empty()) all.files.erase(instance->path);
  delete instance;
}

// One thread and 256 MiB keep a load flat; what does not fit spills into PATH.tmp. Nothing but the
// file is touched, whatever a condition or a view says.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"threads", "1"},
    {"memory_limit", "256MiB"},
    {"autoinstall_known_extensions", "false"},
    {"autoload_known_extensions", "false"},
    {"enable_external_access", "false"},
};

Status run(const Api& api, Connection connection, const char* sql, const std::string& path) {
  Prepared prepared = nullptr;
  QueryResult result{};
  Status status;
  if (api.prepare(connection, sql, &prepared) != 0) {
    status = fail(error_of(path, 0, api.prepare_error(prepared)));
  } else if (api.execute_prepared(prepared, &result) != 0) {
    status = fail(error_of(path, api.result_error_type(&result), api.result_error(&result)));
  }
  api.destroy_result(&result);
  api.destroy_prepare(&prepared);
  return status;
}

// Those that are known only once the file is open; then nothing may be set any more.
Status settle(const Api& api, Database database, const std::string& path) {
  Connection connection = nullptr;
  if (api.connect(database, &connection) != 0) return fail(Code::Internal, "out of memory");
  Status status;
  for (const char* sql : {"SET GLOBAL TimeZone = 'UTC'", "SET GLOBAL lock_configuration = true"}) {
    if (status) status = run(api, connection, sql, path);
  }
  api.disconnect(&connection);
  return status;
}

// REQUIRES: the lock of open_files(), and that this process does not have the file open.
Result<std::shared_ptr<Instance>> open_now(const Api& api, const std::string& path, Open how) {
  Config config = nullptr;
  if (api.create_config(&config) != 0) return fail(Code::Internal, "out of memory");
  for (const auto& [name, value] : kSettings) api.set_config(config, name, value);
  api.set_config(config, "access_mode", how == Open::Write ? "READ_WRITE" : "READ_ONLY");
  Database database = nullptr;
  char* message = nullptr;
  const State state =
      api.open_ext(path.empty() ? nullptr : path.c_str(), &database, config, &message);
  api.destroy_config(&config);
  if (state != 0) {
    const std::string text = message == nullptr ? "unknown error" : message;
    api.free(message);
    return fail(error_of(path, static_cast<int>(ErrorType::Io), text));
  }
  if (const Status settled = settle(api, database, path); !settled) {
    api.close(&database);
    return fail(settled.error());
  }
  auto instance = std::make_unique<Instance>(
      Instance{.api = &api, .database = database, .path = path, .writable = how == Open::Write});
  struct stat is{};
  if (!path.empty() && stat(path.c_str(), &is) == 0) {
    instance->device = is.st_dev;
    instance->inode = is.st_ino;
  }
  return std::shared_ptr<Instance>(instance.release(), &close_file);
}

// Or about to be closed.
Error in_use_here(const std::string& path) {
  return {Code::Unavailable,
          fmt::format("'{}' is being read by this process; it cannot be written meanwhile", path),
          kFileInUse,
          {}};
}

}  // namespace

Error error_of(const std::string& path, int type, std::string_view message) {
  const auto about = [&](Code code, std::string_view problem, std::string reason = {}) {
    return Error{code, fmt::format("'{}' {} ({})", path, problem, message), std::move(reason), {}};
  };
  const auto says = [&](std::string_view words) { return message.find(words) != message.npos; };
  if (says(kLocked)) {
    return about(Code::Unavailable,
                 "is in use by another program, and DuckDB lets only one at a time write a file; "
                 "let that program finish and run again, or end it",
                 kFileInUse);
  }
  if (says("No space left")) {
    return about(Code::Unavailable, "cannot grow: the disk is full; free some space and run again");
  }
  if (says("Permission denied") || says("Read-only file system")) {
    return about(Code::Forbidden,
                 "may not be opened; grant this user access to the file and its folder");
  }
  if (says("database does not exist") || says("No such file or directory")) {
    return about(Code::NotFound, "cannot be opened; check that it exists");
  }
  if (says("not a valid DuckDB database file")) {
    return about(Code::Invalid, "is not a DuckDB database; give the path of one");
  }
  if (says("newer version of DuckDB") || says("older version of DuckDB") ||
      says("storage version") || says("database version")) {
    return about(Code::Invalid,
                 "was written by another version of DuckDB; export it with that one (EXPORT "
                 "DATABASE) and import it with 1.5");
  }
  switch (static_cast<ErrorType>(type)) {
    case ErrorType::Io:
    case ErrorType::Fatal:
      if (says("Corrupt") || says("checksum") || says("corrupt")) {
        return about(Code::Invalid, "is damaged; restore it from a backup");
      }
      return about(Code::Unavailable, "cannot be read or written");
    case ErrorType::Interrupt:
      return {Code::Cancelled, "the run was stopped", {}, {}};
    case ErrorType::OutOfMemory:
      return about(Code::Unavailable,
                   "needs more memory, or more space for temporary files beside it, than there "
                   "is; free some space, or leave out columns with very long values");
    case ErrorType::Transaction:
      return about(Code::Unavailable, "was changed by somebody else at the same time");
    case ErrorType::Internal:
      return about(Code::Internal, "DuckDB failed");
    default:
      return {Code::Invalid, fmt::format("DuckDB refuses: {}", message), {}, {}};
  }
}

Result<std::shared_ptr<Instance>> scratch_instance() {
  TG_TRY(const Api* functions, api());
  return open_now(*functions, "", Open::Write);
}

Result<std::shared_ptr<Instance>> open_instance(const std::string& path, Open how, Millis patience,
                                                const Context& context,
                                                const std::function<void()>& on_blocked) {
  TG_TRY(const Api* functions, api());
  const auto begun = std::chrono::steady_clock::now();
  bool asked = false;
  for (;;) {
    if (context.stop.stop_requested()) return fail(Code::Cancelled, "the run was stopped");
    const auto waited = std::chrono::steady_clock::now() - begun;
    Error last = in_use_here(path);
    OpenFiles& all = open_files();
    std::shared_ptr<Instance> there;  // whose end, if it is the last, takes the lock
    {
      const std::scoped_lock lock(all.mutex);
      const auto known = all.files.find(path);
      if (known == all.files.end()) {
        auto opened = open_now(*functions, path, how);
        if (opened) {
          all.files[path] = *opened;
          return opened;
        }
        last = opened.error();
        if (last.reason != kFileInUse) return fail(std::move(last));
        if (!asked && on_blocked &&
            waited >= std::min<std::chrono::nanoseconds>(kBlockedAfter, patience)) {
          asked = true;
          on_blocked();
        }
      } else {
        there = known->second.lock();
        if (there && (there->writable || how == Open::ReadOnly)) return there;
      }
    }
    if (waited >= patience) return fail(std::move(last));
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace tidegate::engine::duckdb
