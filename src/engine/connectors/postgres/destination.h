#pragma once
// A schema of a PostgreSQL database as a destination.

#include <memory>
#include <string>

#include "engine/connectors/postgres/config.h"
#include "engine/connectors/postgres/connection.h"
#include "engine/connectors/postgres/layout.h"
#include "engine/connectors/postgres/ledger.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::postgres {

class PostgresDestination final : public Destination {
 public:
  PostgresDestination(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override {
    return "postgres://" + config_.place + "/" + config_.schema;
  }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override;
  Result<WriterState> inspect(const WritePlan& plan) override;
  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override;
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Status connect();
  Result<WriterState> read_state(const Claim& claim);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
};

}  // namespace tidegate::engine::postgres
