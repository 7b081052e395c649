#pragma once
// Where the destination keeps one table, and the atomic step that puts a new version in the place
// of the old one.
//
//   DIR/NAME.EXT                    → .tidegate/NAME/current/NAME.EXT
//   DIR/_tidegate_rejected/NAME.csv → ../.tidegate/NAME/current/rejected.csv
//   DIR/.tidegate/_tidegate-id        the destination's id
//   DIR/.tidegate/NAME/lock           flock(2), held while claiming and swapping
//   DIR/.tidegate/NAME/claim.json     who may commit: job, entity, fence, session
//   DIR/.tidegate/NAME/current      → v7
//   DIR/.tidegate/NAME/v7/            NAME.EXT, state.json, rejected.csv; v6/ stays for its readers
//   DIR/.tidegate/NAME/stage-…/       what is being written
//
// EXT is csv, jsonl or parquet, of each version its own. As the link of another format leads
// through `current` too, it leads nowhere once that has switched, and is removed.
//
// One rename(2) of `current` shows rows and state together. Every step is made durable (fsync)
// before the next. Folders are opened with O_NOFOLLOW below DIR, so a symbolic link put there leads
// nowhere.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "engine/connectors/file/format.h"
#include "engine/core/context.h"

namespace tidegate::engine::file {

using Fd = UniqueFd;

// `cannot write 'x': No space left …; free some space`, with the code that fits errno.
std::unexpected<Error> io_error(std::string_view doing, const std::string& path, int err);
// Internal: a file of the destination's own is not as it was written.
std::unexpected<Error> changed_by_somebody(const std::string& path, std::string_view what);

struct TableClaim {
  std::string job, entity;
  std::int64_t fence = 0;
  std::string session;  // `boot:pid:start/n`; empty: nobody writes
  bool operator==(const TableClaim&) const = default;
};

struct TableColumnInfo {
  std::string name, type;  // type in words
};

// state.json of a version.
struct TableState {
  std::string job, entity;
  std::int64_t epoch = 0, sequence = 0;
  std::string state;
  bool has_data = false;  // there is a NAME.EXT in it
  Format format = Format::Csv;
  std::int64_t rows = 0;
  std::vector<TableColumnInfo> columns;
  std::string types;  // those of the columns, by encode_types(); "": csv, which has none
};
std::string encode(const TableState& state);
Result<TableState> decode_table_state(std::string_view text, const std::string& path);

// The file name of an entity: what cannot be in one is %-encoded, a long one gets a hash. Invalid:
// a reserved or empty name.
Result<std::string> table_name(const std::string& entity);

// Used by one thread; several processes may use the same folder.
class TableFolder {
 public:
  // `root`: DIR, free of symbolic links. NotFound without `create` when the table has no folder
  // yet.
  static Result<TableFolder> open(const std::string& root, const std::string& name, bool create);

  const std::string& name() const { return name_; }
  std::string file(Format format) const { return file_name(name_, format); }
  static std::string file_name(const std::string& table, Format format) {
    return table + "." + std::string(name_of(format));
  }
  std::string path() const { return root_path_ + "/.tidegate/" + name_; }
  std::string shown_path(Format format) const { return root_path_ + "/" + file(format); }

  // Waits for another holder, at most 30 s: Unavailable. One that holds it under an older fence of
  // the same job and does not let go is ended: it may be frozen.
  Result<Fd> lock(const TableClaim& me, const Context& context) const;

  Result<std::optional<TableClaim>> claim() const;
  Status set_claim(const TableClaim& claim) const;  // REQUIRES: locked

  struct Version {
    std::int64_t number = 0;
    Fd dir;
    TableState state;
  };
  Result<std::optional<Version>> current() const;

  // Unavailable when the folder is no longer at its path: what is written then is lost.
  Status in_place() const;

  Result<Fd> make_stage(const std::string& stage) const;
  void drop_stage(const std::string& stage) const;
  // REQUIRES: locked; the stage's files are complete and durable.
  Status publish(const std::string& stage, std::int64_t before) const;
  // Stages, versions that are neither current nor the one before it, and links to what is not there
  // (of another format). REQUIRES: locked.
  void tidy() const;

  enum class Shown : std::uint8_t { Nothing, Ours, Dangling, Foreign };
  // What stands at DIR/NAME.EXT; the second also where the table has no folder.
  Shown shown(Format format) const;
  static Shown shown(const std::string& root, const std::string& name, Format format);
  // Makes DIR/NAME.EXT lead to the current version, whatever stood there.
  Status show(Format format) const;
  Status show_rejected() const;

  // Made once, with the first call that may `create`; "" before.
  static Result<std::string> destination_id(const std::string& root, bool create,
                                            const Context& context);

 private:
  TableFolder(std::string root_path, std::string name, Fd root, Fd dir)
      : root_path_(std::move(root_path)),
        name_(std::move(name)),
        root_(std::move(root)),
        dir_(std::move(dir)) {}
  std::vector<std::string> entries() const;
  void remove_folder(const std::string& name) const;

  std::string root_path_, name_;
  Fd root_, dir_;
};

// A whole small file below a folder. read: nullopt when there is none. write: through a temporary
// name, durable, at once.
Result<std::optional<std::string>> read_small(int dir, const std::string& name,
                                              const std::string& path);
Status write_small(int dir, const std::string& name, std::string_view text,
                   const std::string& path);

}  // namespace tidegate::engine::file
