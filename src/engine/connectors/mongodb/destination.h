#pragma once
// A MongoDB database as a destination.

#include <memory>
#include <string>

#include "engine/connectors/mongodb/config.h"
#include "engine/connectors/mongodb/connection.h"
#include "engine/connectors/mongodb/ledger.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mongodb {

class MongoDestination final : public Destination {
 public:
  MongoDestination(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "mongodb://" + config_.place; }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override;
  Result<WriterState> inspect(const WritePlan& plan) override;
  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override;
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Status connect();
  Status end_older(const StoredState& stored, std::int64_t fence, bool serverless);
  Result<WriterState> read_state(const Claim& claim, const std::optional<Record>& record);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
  int writers_ = 0;
};

}  // namespace tidegate::engine::mongodb
