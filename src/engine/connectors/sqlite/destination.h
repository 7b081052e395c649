#pragma once
// An SQLite database as a destination.

#include <memory>
#include <string>

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/ledger.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::sqlite {

struct DestinationConfig {
  std::string path;
  bool wal = true;  // readers go on while a load is written
};

class SqliteDestination final : public Destination {
 public:
  SqliteDestination(DestinationConfig config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override;
  std::optional<std::string> local_file(const std::string& entity) const override;
  Status check() override;
  Result<WriterState> inspect(const WritePlan& plan) override;
  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override;
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Status connect(const WritePlan& plan);
  Status connect_to(const std::string& real, const WritePlan& plan);
  Status begin_ledger(Db& db) const;
  Result<std::unique_ptr<Db>> look_into(const std::string& real) const;
  Result<WriterState> read_state(Db& db, const Claim& claim) const;

  const DestinationConfig config_;
  const Context& context_;
  std::unique_ptr<Db> db_;
  int writers_ = 0;  // opened so far; tells sessions of one process apart
};

}  // namespace tidegate::engine::sqlite
