#pragma once
// One entity's rows into one CSV file: each commit is a new version of the table's folder.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/connectors/file/csv_writer.h"
#include "engine/connectors/file/file_layout.h"
#include "engine/connectors/file/table_folder.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {

class FileWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made.
  FileWriter(TableFolder folder, const Context& context, WritePlan plan, TableClaim claim,
             WriterState state, std::optional<TableFolder::Version> base)
      : folder_(std::move(folder)),
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
  Status copy_base_rows();
  Status link_from_base(const std::string& file);
  Status finish_data();
  Status finish_rejected();
  Status publish(const TableState& state);
  Status release();
  void drop_stage();
  std::string stage_path(const std::string& file) const;

  TableFolder folder_;
  const Context& context_;
  const WritePlan plan_;
  const TableClaim claim_;
  WriterState state_;
  std::optional<TableFolder::Version> base_;  // what the next commit replaces or adds to
  LoadPlan load_;
  FileLayout layout_;

  std::string stage_;  // "": none
  int stages_ = 0;
  Fd stage_dir_;
  std::optional<CsvWriter> data_, rejected_;
  std::unordered_set<std::size_t> rejected_again_;  // hashes of the rows in rejected_
  std::int64_t rows_ = 0;                           // written since the last commit
};

}  // namespace tidegate::engine::file
