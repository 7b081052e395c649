#pragma once
// One entity of the source, whatever its format: what it holds, and its readers.

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/file/config.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::file {

// Made from the entity's open files, so that the rows come from the very files that were looked at,
// even when others are renamed over them meanwhile. Used by one thread at a time.
class FileTable {
 public:
  virtual ~FileTable() = default;
  virtual const std::shared_ptr<arrow::Schema>& schema() const = 0;
  virtual std::optional<std::int64_t> rows() const = 0;
  // REQUIRES: index < the number of files; this outlives the reader.
  virtual Result<std::unique_ptr<Reader>> open(std::size_t index,
                                               std::shared_ptr<arrow::Schema> columns) = 0;
};

using Files = std::vector<std::shared_ptr<const InputFile>>;

// With `sample`, only the first rows of each file, in about so many bytes (Parquet's footer says
// all there is): types and rows() are then what those say.

Result<std::unique_ptr<FileTable>> scan_csv_table(const FileEntity& entity, Files files,
                                                  const SourceConfig& config,
                                                  const Context& context,
                                                  std::optional<std::int64_t> sample);
Result<std::unique_ptr<FileTable>> scan_jsonl_table(const FileEntity& entity, Files files,
                                                    const SourceConfig& config,
                                                    const Context& context,
                                                    std::optional<std::int64_t> sample);
Result<std::unique_ptr<FileTable>> scan_parquet_table(const FileEntity& entity, Files files,
                                                      const SourceConfig& config,
                                                      const Context& context,
                                                      std::optional<std::int64_t> sample);

// The first two bytes of RFC 1952.
Result<bool> is_gzip(const InputFile& file);

}  // namespace tidegate::engine::file
