#pragma once
// One entity's rows into one file: each commit is a new version of the table's folder.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/connectors/file/csv_writer.h"
#include "engine/connectors/file/file_layout.h"
#include "engine/connectors/file/row_fit.h"
#include "engine/connectors/file/table_file.h"
#include "engine/connectors/file/table_folder.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {

// What is in the folder now; `base` is of its current version.
FileNow file_now(const TableFolder& folder, Format format, const TableState* base);

class FileWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made.
  FileWriter(TableFolder folder, Format format, const Context& context, WritePlan plan,
             TableClaim claim, WriterState state, std::optional<TableFolder::Version> base)
      : folder_(std::move(folder)),
        format_(format),
        context_(context),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)),
        base_(std::move(base)) {}
  ~FileWriter() override { drop_stage(); }

  const WriterState& state() const override { return state_; }
  Result<std::vector<std::string>> begin(const LoadPlan& load) override;
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override;
  Status reject(std::span<const RejectedRow> rows) override;
  Result<CommitReport> flush() override;
  Status commit(const std::optional<NewState>& state) override;
  Status finish() override;
  Status abort(std::span<const RejectedRow> keep) override;

 private:
  bool appends_to_base() const;
  Status open_stage();
  Status open_data();
  Status open_rejected();
  Status copy_base_rejected();
  Status link_from_base(const std::string& file);
  Status finish_data();
  Status finish_rejected();
  enum class Show : std::uint8_t { Rows, AsItIs };
  Status publish(const TableState& state, Show show);
  Status release();
  void drop_stage();
  std::string stage_path(const std::string& file) const;

  TableFolder folder_;
  const Format format_;
  const Context& context_;
  const WritePlan plan_;
  const TableClaim claim_;
  WriterState state_;
  std::optional<TableFolder::Version> base_;  // what the next commit replaces or adds to
  LoadPlan load_;
  FileLayout layout_;
  std::optional<RowFit> fit_;  // from begin() on

  std::string stage_;  // "": none
  int stages_ = 0;
  Fd stage_dir_;
  std::unique_ptr<TableFile> data_;
  std::optional<CsvWriter> rejected_;
  std::unordered_set<std::size_t> rejected_again_;  // hashes of the rows in rejected_
  std::int64_t rows_ = 0, refused_ = 0;             // since the last commit
};

}  // namespace tidegate::engine::file
