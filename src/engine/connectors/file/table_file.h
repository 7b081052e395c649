#pragma once
// One version of a table's file, whatever its format.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/connectors/file/file_layout.h"

namespace tidegate::engine::file {

// Used by one thread. Nobody sees the file before the folder switches to it.
class TableFile {
 public:
  virtual ~TableFile() = default;
  // REQUIRES: the schema is FileLayout::schema, as RowFit makes it.
  virtual Status write(const arrow::RecordBatch& rows) = 0;
  // Writes out what is held back, and makes it durable. The rows that the file holds, as read back
  // from it; nullopt: only a pass over all of it would tell.
  virtual Result<std::optional<std::int64_t>> finish() = 0;
};

struct NewFile {
  int dir;
  std::string name;
  std::string path;  // for messages
};
// The version before, whose rows stay and come first; fd -1: none do.
struct OldFile {
  int fd = -1;
  std::string path;  // for messages
};

Result<std::unique_ptr<TableFile>> make_csv_table(const NewFile& file, const FileLayout& layout,
                                                  const OldFile& old);
Result<std::unique_ptr<TableFile>> make_jsonl_table(const NewFile& file, const FileLayout& layout,
                                                    const OldFile& old);
Result<std::unique_ptr<TableFile>> make_parquet_table(const NewFile& file, const FileLayout& layout,
                                                      const OldFile& old);

}  // namespace tidegate::engine::file
