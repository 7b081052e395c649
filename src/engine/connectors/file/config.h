#pragma once
// The configuration of the source, and which files it means.

#include <arrow/type_fwd.h>

#include <boost/json/fwd.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/csv_file.h"
#include "engine/connectors/file/format.h"
#include "engine/core/catalog.h"
#include "engine/core/path_policy.h"

namespace tidegate::engine::file {

struct SourceConfig {
  std::string path;              // a file, a folder, or a pattern
  std::optional<Format> format;  // none: by each file's extension
  std::optional<char> delimiter;
  CsvOptions csv;
  std::vector<std::pair<std::string, std::string>> entities;  // name, pattern of file names
  std::map<std::string, std::string> types;                   // by column
  std::map<std::string, std::map<std::string, std::string>> entity_types;

  // Null: nothing is declared. What is declared for one entity wins.
  std::shared_ptr<arrow::Field> declared(const std::string& entity,
                                         const std::string& column) const;
};

extern const std::string_view kSpec;
// Invalid with every wrong field.
Result<SourceConfig> parse_source(const boost::json::object& config);

// By extension, `.gz` left out; nullopt: unknown.
std::optional<Format> format_of(std::string_view file_name);
// The file's name without folder and extensions: `data/flights.csv.gz` → `flights`.
std::string stem_of(std::string_view path);

struct FileEntity {
  std::string name;
  Format format = Format::Csv;
  std::vector<std::string> files;  // sorted
};
struct FileSet {
  std::vector<FileEntity> entities;  // by name
  std::vector<BadEntity> bad;        // two files with one stem; an unknown format
};
// NotFound: no file at all, naming the folder looked in. Forbidden as PathPolicy.
Result<FileSet> find_files(const SourceConfig& config, const PathPolicy& paths);

// Files and folders that a pattern with `*`, `?` and `[…]` in any part names, sorted.
Result<std::vector<std::string>> expand(const std::string& pattern, const PathPolicy& paths);

// The pattern as an absolute path, for the source's identity.
std::string absolute(const std::string& path, const PathPolicy& paths);

}  // namespace tidegate::engine::file
