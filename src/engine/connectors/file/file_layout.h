#pragma once
// How a load's columns fit the file that is there, and what of a load is refused: the same for a
// run and for a dry run.

#include <string>
#include <vector>

#include "engine/connectors/file/table_folder.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {

// What stands where the rows go.
struct FileNow {
  TableFolder::Shown shown = TableFolder::Shown::Nothing;
  std::string path;                  // of the file that is shown
  const TableState* base = nullptr;  // of the current version; null: there is none
};

struct FileLayout {
  std::vector<TableColumnInfo> columns;  // of the file that will be written
  std::vector<int> fields;               // of each: its index in the load's schema, -1: none
  bool widened = false;                  // a file that has columns gets more
  std::vector<std::string> sentences;    // what changes, for the run's record
};

// Invalid: a merge, or a change that schema_change refuses, naming the column. Conflict: an append
// to a file that is not ours.
Result<FileLayout> plan_layout(const FileNow& now, const WritePlan& plan, const LoadPlan& load);

}  // namespace tidegate::engine::file
