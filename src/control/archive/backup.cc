#include "control/archive/backup.h"

#include <sys/stat.h>

#include <numeric>

#include "base/version.h"
#include "control/archive/check.h"
#include "control/archive/file.h"

namespace tidegate::archive {
namespace {

constexpr int kTries = 3;

std::int64_t total(const Trailer& trailer) {
  std::int64_t n = 0;
  for (const auto& [kind, count] : trailer.records) n += count;
  return n;
}

Status write_all(store::Store& store, const Clock& clock, FileWriter& file,
                 const Progress& progress) {
  TG_TRY(const auto reader, store.read_archive());
  Encoder encoder;
  TG_CHECK(file.add(encoder.header({.created_at = clock.now(),
                                    .tidegate = std::string(version()),
                                    .store = std::string(store.capabilities().name),
                                    .snapshot = reader->is_snapshot()})));
  for (;;) {
    TG_TRY(const auto page, reader->next());
    if (page.empty()) break;
    for (const store::ArchiveRecord& record : page) {
      TG_TRY(const std::string line, encoder.record(record));
      TG_CHECK(file.add(line));
    }
    TG_CHECK(progress(total(encoder.written())));
  }
  TG_CHECK(file.add(encoder.trailer()));
  return file.close();
}

// What was written is what can be read, and everything that it refers to is in it.
Result<FileReader::Frame> read_again(const std::string& path, const Progress& progress) {
  TG_TRY(auto reader, FileReader::open(path));
  Check check(nullptr);
  std::int64_t seen = 0;
  TG_TRY(auto frame, reader.read([&](const store::ArchiveRecord& record, const Header&) -> Status {
    check.see(record);
    return ++seen % 1000 == 0 ? progress(seen) : Status();
  }));
  TG_CHECK(check.finish());
  return frame;
}

}  // namespace

Result<BackupReport> backup(store::Store& store, const Clock& clock, const BackupParams& params,
                            const Progress& progress) {
  for (int tried = 1;; ++tried) {
    TG_TRY(FileWriter file, FileWriter::create(params.path, params.replace));
    TG_CHECK(write_all(store, clock, file, progress));
    auto frame = read_again(file.partial(), progress);
    if (!frame && frame.error().reason == "backup_incomplete") {
      if (tried < kTries) continue;
      return fail(Error{Code::Unavailable,
                        "the store changed too much while it was read, each time; try again when "
                        "fewer jobs are created and deleted",
                        "store_busy", std::move(frame.error().details)});
    }
    TG_CHECK(frame);
    struct stat info{};
    ::stat(file.partial().c_str(), &info);
    TG_CHECK(file.publish());
    return BackupReport{std::move(frame->header), std::move(frame->trailer), info.st_size};
  }
}

}  // namespace tidegate::archive
