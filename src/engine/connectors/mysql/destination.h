#pragma once
// A MySQL database as a destination.

#include <memory>
#include <string>

#include "engine/connectors/mysql/config.h"
#include "engine/connectors/mysql/connection.h"
#include "engine/connectors/mysql/ledger.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mysql {

class MysqlDestination final : public Destination {
 public:
  MysqlDestination(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "mysql://" + config_.place(); }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override;
  Result<WriterState> inspect(const WritePlan& plan) override;
  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override;
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Status connect();
  Result<std::unique_ptr<Connection>> new_connection();
  Claim claim_of(const WritePlan& plan) const;
  std::string table_of(const std::string& entity) const;
  Result<WriterState> read_state(const Claim& claim);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
  std::string session_;       // of db_
  bool folds_names_ = false;  // table names of either case are one
};

}  // namespace tidegate::engine::mysql
