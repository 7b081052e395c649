#include "tests/crash/crash_vfs.h"

#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::crash {
namespace {

struct File;

// How to take back one write that was not synced yet.
struct Undo {
  File* file;
  sqlite3_int64 offset, old_size;
  std::vector<char> old_bytes;
};

struct State {
  CrashPlan plan;
  sqlite3_vfs* real = nullptr;
  sqlite3_vfs shim{};
  std::atomic<std::int64_t> points{0};
  std::atomic<bool> freeze{false};
  std::mutex mutex;
  std::vector<Undo> undo;
};

State& state() {
  static State s;
  return s;
}

struct File {
  sqlite3_file base;
  bool is_wal;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* shim(sqlite3_file* f) { return reinterpret_cast<File*>(f); }
sqlite3_file* real(sqlite3_file* f) { return shim(f)->real(); }

[[noreturn]] void die() {
  State& s = state();
  const std::size_t keep = s.plan.loss == Loss::None       ? s.undo.size()
                           : s.plan.loss == Loss::Unsynced ? 0
                                                           : s.undo.size() / 2;
  for (std::size_t i = s.undo.size(); i > keep; --i) {
    Undo& u = s.undo[i - 1];
    sqlite3_file* f = u.file->real();
    if (!u.old_bytes.empty()) {
      f->pMethods->xWrite(f, u.old_bytes.data(), static_cast<int>(u.old_bytes.size()), u.offset);
    }
    f->pMethods->xTruncate(f, u.old_size);
  }
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// REQUIRES: the mutex.
void point() {
  State& s = state();
  if (++s.points == s.plan.at) die();
}

void remember(File* file, sqlite3_int64 offset, sqlite3_int64 end) {
  sqlite3_file* f = file->real();
  sqlite3_int64 size = 0;
  f->pMethods->xFileSize(f, &size);
  Undo u{file, offset, size, {}};
  if (const auto old_end = std::min(end, size); old_end > offset) {
    u.old_bytes.resize(static_cast<std::size_t>(old_end - offset));
    f->pMethods->xRead(f, u.old_bytes.data(), static_cast<int>(u.old_bytes.size()), offset);
  }
  state().undo.push_back(std::move(u));
}

void forget(File* file) {
  std::erase_if(state().undo, [&](const Undo& u) { return u.file == file; });
}

int x_write(sqlite3_file* f, const void* data, int n, sqlite3_int64 offset) {
  if (shim(f)->is_wal && state().freeze.exchange(false)) raise(SIGSTOP);
  const std::scoped_lock lock(state().mutex);
  point();
  remember(shim(f), offset, offset + n);
  return real(f)->pMethods->xWrite(real(f), data, n, offset);
}

int x_truncate(sqlite3_file* f, sqlite3_int64 size) {
  const std::scoped_lock lock(state().mutex);
  point();
  sqlite3_int64 old = 0;
  real(f)->pMethods->xFileSize(real(f), &old);
  remember(shim(f), size, old);
  return real(f)->pMethods->xTruncate(real(f), size);
}

int x_sync(sqlite3_file* f, int flags) {
  const std::scoped_lock lock(state().mutex);
  point();
  const int rc = real(f)->pMethods->xSync(real(f), flags);
  forget(shim(f));
  return rc;
}

int x_close(sqlite3_file* f) {
  {
    const std::scoped_lock lock(state().mutex);
    forget(shim(f));
  }
  return real(f)->pMethods->xClose(real(f));
}

template <auto Member, class... Args>
auto forward(sqlite3_file* f, Args... args) {
  return (real(f)->pMethods->*Member)(real(f), args...);
}

// Version 2: with shared memory, without memory-mapped reads, which would bypass nothing we count
// but need more methods.
const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = forward<&sqlite3_io_methods::xRead, void*, int, sqlite3_int64>,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = forward<&sqlite3_io_methods::xFileSize, sqlite3_int64*>,
    .xLock = forward<&sqlite3_io_methods::xLock, int>,
    .xUnlock = forward<&sqlite3_io_methods::xUnlock, int>,
    .xCheckReservedLock = forward<&sqlite3_io_methods::xCheckReservedLock, int*>,
    .xFileControl = forward<&sqlite3_io_methods::xFileControl, int, void*>,
    .xSectorSize = forward<&sqlite3_io_methods::xSectorSize>,
    .xDeviceCharacteristics = forward<&sqlite3_io_methods::xDeviceCharacteristics>,
    .xShmMap = forward<&sqlite3_io_methods::xShmMap, int, int, int, void volatile**>,
    .xShmLock = forward<&sqlite3_io_methods::xShmLock, int, int, int>,
    .xShmBarrier = forward<&sqlite3_io_methods::xShmBarrier>,
    .xShmUnmap = forward<&sqlite3_io_methods::xShmUnmap, int>,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int x_open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* f, int flags, int* out) {
  File* file = new (f) File{};
  file->is_wal = name != nullptr && std::string_view(name).ends_with("-wal");
  const int rc = state().real->xOpen(state().real, name, file->real(), flags, out);
  file->base.pMethods = file->real()->pMethods == nullptr ? nullptr : &kMethods;
  return rc;
}

}  // namespace

void install_crash_vfs(const CrashPlan& plan) {
  State& s = state();
  s.plan = plan;
  s.real = sqlite3_vfs_find(nullptr);
  s.shim = *s.real;
  s.shim.zName = "tidegate-crash";
  s.shim.szOsFile = static_cast<int>(sizeof(File)) + s.real->szOsFile;
  s.shim.xOpen = x_open;
  sqlite3_vfs_register(&s.shim, 1);
}

std::int64_t crash_points() { return state().points; }
void freeze_at_next_commit() { state().freeze = true; }

}  // namespace tidegate::crash
