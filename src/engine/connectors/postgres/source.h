#pragma once
// Tables and views of a PostgreSQL database, each read by one binary COPY in one snapshot.

#include <memory>
#include <string>

#include "engine/connectors/postgres/catalog.h"
#include "engine/connectors/postgres/config.h"
#include "engine/connectors/postgres/connection.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::postgres {

class PostgresSource final : public Source {
 public:
  PostgresSource(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "postgres://" + config_.place; }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override;
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<Catalog> sample() override;  // all of it, with a warning where columns may not be read
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

 private:
  Status connect();
  Status check_condition(const Relation& table, const std::string& where);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
  std::map<std::string, Relation, std::less<>> tables_;  // of the last discover()
};

}  // namespace tidegate::engine::postgres
