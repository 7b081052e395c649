#pragma once
// How a load's columns fit the file that is there, and what of a load is refused: the same for a
// run and for a dry run.

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/connectors/file/table_folder.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {

// What stands where the rows go.
struct FileNow {
  Format format = Format::Csv;       // of the connection, and so of what is written
  bool foreign = false;              // a file that is not ours is there
  std::string path;                  // where the rows go
  const TableState* base = nullptr;  // of the current version; null: there is none
  bool shown = false;                // the rows of `base` are where it put them
  std::string base_path;             // which is here
};

struct FileLayout {
  Format format = Format::Csv;
  std::vector<TableColumnInfo> columns;  // of the file that will be written
  std::vector<int> fields;               // of each: its index in the load's schema, -1: none
  // The rows that are written. Of CSV, which has no types, as they come; null() where none do.
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<arrow::Schema> before;  // of the rows that are there and stay; null: CSV, or none
  bool widened = false;                // a file that has columns gets more, or other types for them
  std::vector<std::string> sentences;  // what changes, for the run's record
};

// Invalid: a merge, an append to a file of another format, or a change that schema_change refuses
// or that no type holds, naming the column. Conflict: an append to a file that is not ours.
Result<FileLayout> plan_layout(const FileNow& now, const WritePlan& plan, const LoadPlan& load);

}  // namespace tidegate::engine::file
