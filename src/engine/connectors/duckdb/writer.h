#pragma once
// One entity's rows into one table of a DuckDB file, in one transaction per commit.
//
// A full load fills a new table that takes the old one's place, where nothing of the user's hangs
// on that; else its rows replace the old ones. Appended rows go straight into the table. A merge,
// and what has to be compared before it is cast, is collected in a temporary table first.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/layout.h"
#include "engine/connectors/duckdb/ledger.h"
#include "engine/connectors/duckdb/row_check.h"
#include "engine/connectors/duckdb/values.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::duckdb {

class DuckdbWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made; db outlives this and is used by nobody else meanwhile.
  DuckdbWriter(Db& db, const Context& context, WritePlan plan, Claim claim, WriterState state)
      : db_(db),
        context_(context),
        ledger_(db),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)) {}
  ~DuckdbWriter() override { undo(); }

  const WriterState& state() const override { return state_; }
  Result<std::vector<std::string>> begin(const LoadPlan& load) override;
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override;
  Status reject(std::span<const RejectedRow> rows) override;
  Result<CommitReport> flush() override;
  Status commit(const std::optional<NewState>& state) override;
  Status finish() override;
  Status abort(std::span<const RejectedRow> keep) override;

 private:
  Status start_transaction();
  Status prepare_rows();
  Status create_stage();
  // Where the rows of a load belong: the table, or the one that takes its place.
  std::string rows_table() const;
  std::string column_names() const;
  std::string column_values(std::string_view prefix = "") const;
  Result<std::int64_t> drop_superseded();
  Status merge(std::int64_t rows, CommitReport& report);
  Result<std::int64_t> count(const std::string& table);
  Error rows_lost(std::int64_t given, std::int64_t there) const;
  Error about_table(const Error& error) const;
  void undo();

  Db& db_;
  const Context& context_;
  Ledger ledger_;
  const WritePlan plan_;
  const Claim claim_;
  WriterState state_;
  LoadPlan load_;
  TableLayout now_;
  LayoutChange change_;
  std::optional<Values> values_;
  std::unique_ptr<CastCheck> casts_;
  std::unique_ptr<Insert> insert_;
  bool staged_ = false;   // rows go through the stage
  bool swapped_ = false;  // a new table takes the old one's place
  bool in_transaction_ = false, stage_made_ = false;
  // Since the last commit: rows handed to the table or the stage, and refused.
  std::int64_t put_ = 0, refused_ = 0;
  std::int64_t before_ = 0;            // rows of the table before them
  std::vector<RejectedRow> rejected_;  // until the transaction
};

}  // namespace tidegate::engine::duckdb
