#include "engine/connectors/duckdb/instance.h"

#include <fmt/format.h>
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
constexpr const char* kNotWritten = "TransactionContext Error: Failed to commit: Could not write";
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

// Where DuckDB hands over no type; of those whose words are looked at.
int named_type(std::string_view message) {
  constexpr std::pair<std::string_view, ErrorType> kNamed[] = {
      {"IO Error:", ErrorType::Io},
      {"FATAL Error:", ErrorType::Fatal},
      {"Out of Memory Error:", ErrorType::OutOfMemory},
  };
  for (const auto& [prefix, type] : kNamed) {
    if (message.starts_with(prefix)) return static_cast<int>(type);
  }
  return 0;
}

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

// At open, what is no matter of memory is one of the file.
int type_at_open(std::string_view message) {
  const int named = named_type(message);
  return named == 0 ? static_cast<int>(ErrorType::Io) : named;
}

// `path` null: in memory.
Result<Database> open_database(const Api& api, const char* path, Open how) {
  TG_TRY(Config config, make_config(api, how));
  Database database = nullptr;
  char* message = nullptr;
  const State state = api.open_ext(path, &database, config, &message);
  api.destroy_config(&config);
  if (state == 0) return database;
  const std::string text = message == nullptr ? "unknown error" : message;
  api.free(message);
  return fail(error_of(path == nullptr ? "" : path, type_at_open(text), text));
}

// Under another name until it is whole: whoever is killed meanwhile, or has no space, would leave a
// file that is no database for ever.
// REQUIRES: as open_now().
Status make_file(const Api& api, const std::string& path) {
  TG_TRY(const std::string name, fresh_name(path));
  auto made = open_database(api, name.c_str(), Open::Write);
  if (made) api.close(&*made);
  const Status done = made ? put_in_place(name, path) : fail(made.error());
  unlink(name.c_str());  // where it did not become `path`
  return done;
}

// REQUIRES: the lock of open_files(), and that this process does not have the file open.
Result<std::shared_ptr<Instance>> open_now(const Api& api, const std::string& path, Open how) {
  FileId file;
  if (!path.empty()) {
    TG_CHECK(check_places(path));
    if (how == Open::Write && !holds_something(path)) TG_CHECK(make_file(api, path));
    file = file_id(path);
  }
  TG_TRY(Database database, open_database(api, path.empty() ? nullptr : path.c_str(), how));
  Status good = settle(api, database, path);
  // Whoever changes the names meanwhile must not have led DuckDB elsewhere.
  if (good && !path.empty()) good = check_places(path);
  if (good && !path.empty() && file_id(path) != file) {
    good = fail(Code::Unavailable,
                fmt::format("'{}' was replaced while it was opened; run again", path));
  }
  if (!good) {
    api.close(&database);
    return fail(good.error());
  }
  auto instance = std::make_unique<Instance>(Instance{.api = &api,
                                                      .database = database,
                                                      .path = path,
                                                      .writable = how == Open::Write,
                                                      .file = file});
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

Result<Config> make_config(const Api& api, Open how) {
  Config config = nullptr;
  if (api.create_config(&config) != 0) return fail(Code::Internal, "out of memory");
  const auto set = [&](const char* name, const char* value) -> Status {
    if (api.set_config(config, name, value) == 0) return {};
    return fail(Code::Unsupported,
                fmt::format("DuckDB's library refuses the setting {} = {}; take one of version 1.5",
                            name, value),
                "duckdb_library");
  };
  Status done = set("access_mode", how == Open::Write ? "READ_WRITE" : "READ_ONLY");
  for (const auto& [name, value] : kSettings) {
    if (done) done = set(name, value);
  }
  if (done) return config;
  api.destroy_config(&config);
  return fail(done.error());
}

namespace {

Error error_about(const std::string& path, std::string_view message, Code code,
                  std::string_view problem, std::string reason = {}) {
  return Error{code, fmt::format("'{}' {} ({})", path, problem, message), std::move(reason), {}};
}

// Of the file: no value of a row is in it.
Error file_error(const std::string& path, std::string_view message) {
  const auto about = [&](Code code, std::string_view problem, std::string reason = {}) {
    return error_about(path, message, code, problem, std::move(reason));
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
  if (says("Corrupt") || says("checksum") || says("corrupt"))
    return about(Code::Invalid, "is damaged; restore it from a backup");
  return about(Code::Unavailable, "cannot be read or written");
}

// DuckDB's bound for memory is ours, so another run would meet it again; the disk may get space.
Error memory_error(const std::string& path, std::string_view message) {
  message = message.substr(0, message.find("\n\nPossible solutions"));  // settings that are ours
  if (message.find("failed to offload") != std::string_view::npos) {
    return error_about(
        path, message, Code::Unavailable,
        "needs more space for temporary files beside it than there is; free some space "
        "and run again");
  }
  return data_error(
      fmt::format("'{}' has rows that do not fit into the 256 MiB that DuckDB is given; leave out "
                  "the columns with very long values (`columns` of the entity) ({})",
                  path, message));
}

}  // namespace

Error error_of(const std::string& path, int type, std::string_view message) {
  switch (static_cast<ErrorType>(type == 0 ? named_type(message) : type)) {
    case ErrorType::Io:
    case ErrorType::Fatal:
      return file_error(path, message);
    case ErrorType::Interrupt:
      return {Code::Cancelled, "the run was stopped", {}, {}};
    case ErrorType::OutOfMemory:
      return memory_error(path, message);
    case ErrorType::Transaction:
      // What kept a commit off the disk is said behind it; a key's values are another's words.
      if (message.starts_with(kNotWritten)) return file_error(path, message);
      return error_about(path, message, Code::Unavailable,
                         "was changed by somebody else at the same time");
    case ErrorType::Internal:
      return error_about(path, message, Code::Internal, "DuckDB failed");
    default:
      return {Code::Invalid, fmt::format("{}{}", kRefuses, message), {}, {}};
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
