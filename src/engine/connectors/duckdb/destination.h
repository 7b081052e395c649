#pragma once
// A DuckDB file as a destination.

#include <memory>
#include <string>

#include "engine/connectors/duckdb/db.h"
#include "engine/core/claim.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::duckdb {

class DuckdbDestination final : public Destination {
 public:
  // `patience`: for a file that another process has open.
  DuckdbDestination(std::string path, const Context& context, Millis patience = Millis(30'000))
      : path_(std::move(path)), context_(context), patience_(patience) {}

  std::string identity() const override;
  std::optional<std::string> local_file(const std::string& entity) const override;
  Status check() override;
  Result<WriterState> inspect(const WritePlan& plan) override;
  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override;
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Status connect(const WritePlan& plan);

  const std::string path_;
  const Context& context_;
  const Millis patience_;
  std::unique_ptr<Db> db_;
  int writers_ = 0;  // opened so far; tells sessions of one process apart
};

}  // namespace tidegate::engine::duckdb
