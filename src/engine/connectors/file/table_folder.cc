#include "engine/connectors/file/table_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>

#include "base/ids.h"
#include "base/process.h"

namespace tidegate::engine::file {
namespace {

constexpr auto kLockPatience = std::chrono::seconds(30);
constexpr auto kFrozenAfter = std::chrono::seconds(2);
// Beside the tables' folders: table_name() refuses it.
constexpr const char* kIdFile = "_tidegate-id";
constexpr int kLockPollMs = 10;

// A new name lasts once the folder that holds it is synced.
bool sync_parent(int at, const std::string& name) {
  if (at != AT_FDCWD) return fsync(at) == 0;
  const std::string parent = name.substr(0, name.rfind('/') + 1);
  const Fd fd(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && fsync(fd.get()) == 0;
}

Result<Fd> open_folder(int at, const std::string& name, const std::string& path, bool create) {
  if (create) {
    const bool made = mkdirat(at, name.c_str(), 0755) == 0;
    if ((made && !sync_parent(at, name)) || (!made && errno != EEXIST)) {
      return io_error("create", path, errno);
    }
  }
  Fd fd(openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (fd) return fd;
  if (errno == ENOENT) return fail(Code::NotFound, fmt::format("'{}' does not exist", path));
  return io_error("open", path, errno);
}

std::string read_link(int dir, const std::string& name) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n = readlinkat(dir, name.c_str(), buffer.data(), buffer.size());
  return n <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

// `v17` → 17; 0: no version.
std::int64_t version_of(std::string_view name) {
  if (!name.starts_with('v')) return 0;
  std::int64_t n = 0;
  auto [end, ec] = std::from_chars(name.data() + 1, name.data() + name.size(), n);
  return ec == std::errc() && end == name.data() + name.size() && n > 0 ? n : 0;
}

// Puts a symbolic link in the place of whatever has that name.
Status swap_link(int dir, const std::string& target, const std::string& name,
                 const std::string& path) {
  const std::string temporary = name + ".new";
  unlinkat(dir, temporary.c_str(), 0);
  if (symlinkat(target.c_str(), dir, temporary.c_str()) != 0 ||
      renameat(dir, temporary.c_str(), dir, name.c_str()) != 0 || fsync(dir) != 0) {
    return io_error("switch", path, errno);
  }
  return {};
}

// Where DIR/NAME.EXT leads.
std::string link_of(const std::string& table, Format format) {
  return fmt::format(".tidegate/{}/current/{}", table, TableFolder::file_name(table, format));
}

TableFolder::Shown shown_in(int root, const std::string& table, Format format) {
  using enum TableFolder::Shown;
  const std::string file = TableFolder::file_name(table, format);
  struct stat st{};
  if (fstatat(root, file.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Nothing;
  if (!S_ISLNK(st.st_mode) || read_link(root, file) != link_of(table, format)) return Foreign;
  return fstatat(root, file.c_str(), &st, 0) == 0 ? Ours : Dangling;
}

// Who holds the lock, written into it: a holder may be frozen before its claim is.
void sign_lock(int fd, const TableClaim& me) {
  const std::string text = fmt::format("{} {} {}", me.fence, me.session, me.job);
  if (ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const ssize_t n = pwrite(fd, text.data(), text.size(), 0);
  }
}

Status end_holder(int fd, const TableClaim& me, const Context& context) {
  std::array<char, 4096> buffer{};
  const ssize_t n = pread(fd, buffer.data(), buffer.size() - 1, 0);
  const std::string_view text(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  const std::size_t first = text.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
  if (second == std::string_view::npos || text.substr(second + 1) != me.job) return {};
  std::int64_t fence = 0;
  std::from_chars(text.data(), text.data() + first, fence);
  const std::string_view session = text.substr(first + 1, second - first - 1);
  const auto process = ProcessIdentity::decode(session.substr(0, session.find('/')));
  if (!process || fence >= me.fence || *process == this_process()) return {};
  context.log(LogLevel::Warn, fmt::format("process {} of an older attempt kept the destination "
                                          "locked and was ended",
                                          process->pid));
  return end_process(*process);
}

}  // namespace

Result<TableFolder> TableFolder::open(const std::string& root, const std::string& name,
                                      bool create) {
  TG_TRY(Fd root_fd, open_folder(AT_FDCWD, root, root, create));
  TG_TRY(const Fd tables, open_folder(root_fd.get(), ".tidegate", root + "/.tidegate", create));
  TG_TRY(Fd dir, open_folder(tables.get(), name, root + "/.tidegate/" + name, create));
  return TableFolder(root, name, std::move(root_fd), std::move(dir));
}

Result<std::string> TableFolder::destination_id(const std::string& root, bool create,
                                                const Context& context) {
  const std::string path = root + "/.tidegate/" + kIdFile;
  auto root_fd = open_folder(AT_FDCWD, root, root, false);
  auto tables =
      root_fd ? open_folder(root_fd->get(), ".tidegate", path, false) : std::move(root_fd);
  if (!tables) {
    if (tables.error().code == Code::NotFound) return std::string();
    return fail(tables.error());
  }
  TG_TRY(const auto known, read_small(tables->get(), kIdFile, path));
  if (known && !known->empty()) return *known;
  if (!create) return std::string();
  // Two processes may be first at once: link(2) lets one win.
  const std::string id = new_uuid_v7(context.clock, context.rng);
  const std::string own = std::string(kIdFile) + "." + id;
  TG_CHECK(write_small(tables->get(), own, id, path));
  const int linked = linkat(tables->get(), own.c_str(), tables->get(), kIdFile, 0);
  const int err = errno;
  unlinkat(tables->get(), own.c_str(), 0);
  if (linked != 0 && err != EEXIST) return io_error("write", path, err);
  if (fsync(tables->get()) != 0) return io_error("write", path, errno);
  TG_TRY(const auto now, read_small(tables->get(), kIdFile, path));
  return now.value_or("");
}

Result<Fd> TableFolder::lock(const TableClaim& me, const Context& context) const {
  Fd fd(openat(dir_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_error("open", path() + "/lock", errno);
  const auto start = std::chrono::steady_clock::now();
  bool tried_to_end = false;
  while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return io_error("lock", path(), errno);
    if (context.stop.stop_requested()) return fail(Code::Cancelled, "the run was stopped");
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited > kLockPatience) {
      return fail(Code::Unavailable,
                  fmt::format("'{}' has been locked by another process for {} s; wait until it has "
                              "finished, or end it",
                              path(), kLockPatience.count()));
    }
    if (waited > kFrozenAfter && !std::exchange(tried_to_end, true)) {
      TG_CHECK(end_holder(fd.get(), me, context));
    }
    poll(nullptr, 0, kLockPollMs);
  }
  sign_lock(fd.get(), me);
  return fd;
}

Result<std::optional<TableFolder::Version>> TableFolder::current() const {
  // The version may be swapped away and removed between the two steps: look again.
  for (int attempt = 0; attempt < 10; ++attempt) {
    const std::string target = read_link(dir_.get(), "current");
    if (version_of(target) == 0) return std::nullopt;
    auto dir = open_folder(dir_.get(), target, path() + "/" + target, false);
    if (!dir && dir.error().code == Code::NotFound) continue;
    if (!dir) return fail(dir.error());
    const std::string file = path() + "/" + target + "/state.json";
    TG_TRY(const auto text, read_small(dir->get(), "state.json", file));
    if (!text) continue;
    TG_TRY(TableState state, decode_table_state(*text, file));
    return Version{version_of(target), std::move(*dir), std::move(state)};
  }
  return fail(
      Code::Internal,
      fmt::format("'{}/current' leads to nothing; restore the folder from a backup, or remove "
                  "it and reset the job (--reset, or `tidegate jobs reset`)",
                  path()));
}

Status TableFolder::in_place() const {
  struct stat mine{};
  struct stat there{};
  if (fstat(dir_.get(), &mine) == 0 && stat(path().c_str(), &there) == 0 &&
      mine.st_dev == there.st_dev && mine.st_ino == there.st_ino) {
    return {};
  }
  return fail(Code::Unavailable,
              fmt::format("'{}' was removed or replaced while it was written: the rows of this run "
                          "are not in '{}'. Leave the folder in its place and run again",
                          path(), root_path_),
              "destination_gone");
}

Result<Fd> TableFolder::make_stage(const std::string& stage) const {
  remove_folder(stage);
  return open_folder(dir_.get(), stage, path() + "/" + stage, true);
}

void TableFolder::drop_stage(const std::string& stage) const { remove_folder(stage); }

Status TableFolder::publish(const std::string& stage, std::int64_t before) const {
  std::int64_t number = before;
  // A version above the current one is left over from a process that died before it switched.
  for (const std::string& name : entries()) number = std::max(number, version_of(name));
  const std::string version = fmt::format("v{}", number + 1);
  if (renameat(dir_.get(), stage.c_str(), dir_.get(), version.c_str()) != 0 ||
      fsync(dir_.get()) != 0) {
    return io_error("publish", path() + "/" + version, errno);
  }
  return swap_link(dir_.get(), version, "current", path() + "/current");
}

void TableFolder::tidy() const {
  const std::int64_t current = version_of(read_link(dir_.get(), "current"));
  std::int64_t previous = 0;
  const auto names = entries();
  for (const auto& name : names) {
    if (const std::int64_t n = version_of(name); n < current) previous = std::max(previous, n);
  }
  for (const auto& name : names) {
    const std::int64_t n = version_of(name);
    if (name.starts_with("stage-") || (n > 0 && n != current && n != previous)) remove_folder(name);
  }
  for (const Format format : kFormats) {
    if (shown(format) == Shown::Dangling) unlinkat(root_.get(), file(format).c_str(), 0);
  }
}

std::vector<std::string> TableFolder::entries() const {
  std::vector<std::string> out;
  const int fd = openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
  if (dir == nullptr) return out;
  while (const dirent* e = readdir(dir)) out.emplace_back(e->d_name);
  closedir(dir);
  return out;
}

// What cannot be removed now is removed by a later run.
void TableFolder::remove_folder(const std::string& name) const {
  const int fd = openat(dir_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
  if (dir == nullptr) return;
  while (const dirent* e = readdir(dir)) unlinkat(fd, e->d_name, 0);
  closedir(dir);
  unlinkat(dir_.get(), name.c_str(), AT_REMOVEDIR);
}

TableFolder::Shown TableFolder::shown(Format format) const {
  return shown_in(root_.get(), name_, format);
}

TableFolder::Shown TableFolder::shown(const std::string& root, const std::string& name,
                                      Format format) {
  const auto fd = open_folder(AT_FDCWD, root, root, false);
  return fd ? shown_in(fd->get(), name, format) : Shown::Nothing;
}

Status TableFolder::show(Format format) const {
  return swap_link(root_.get(), link_of(name_, format), file(format), shown_path(format));
}

Status TableFolder::show_rejected() const {
  const std::string path = root_path_ + "/_tidegate_rejected";
  TG_TRY(const Fd dir, open_folder(root_.get(), "_tidegate_rejected", path, true));
  const std::string file = name_ + ".csv";
  return swap_link(dir.get(), fmt::format("../.tidegate/{}/current/rejected.csv", name_), file,
                   path + "/" + file);
}

}  // namespace tidegate::engine::file
