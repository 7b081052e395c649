#pragma once
// Collections and views of a MongoDB database, each read in one snapshot where the server keeps
// them.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/mongodb/config.h"
#include "engine/connectors/mongodb/connection.h"
#include "engine/connectors/mongodb/decoder.h"
#include "engine/core/context.h"
#include "engine/core/source.h"

namespace tidegate::engine::mongodb {

class MongoSource final : public Source {
 public:
  MongoSource(Config config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "mongodb://" + config_.place; }
  Result<std::optional<std::string>> table_place(const std::string& entity) override;
  Status check() override;
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<Catalog> sample() override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;

 private:
  struct Shape {
    std::vector<SourceColumn> columns;
    std::vector<FieldGuess> fields;
  };
  Status connect();
  static std::optional<Doc> projection(const ReadParams& params, const Shape& shape);
  Result<Catalog> look(const Wanted& wanted, std::int64_t max_entities, std::int64_t max_documents);
  Result<EntityInfo> look_into(const std::string& name, bool keyed, std::int64_t max_documents);

  const Config config_;
  const Context& context_;
  std::unique_ptr<Connection> db_;
  std::map<std::string, Shape, std::less<>> shapes_;  // of the last discover()
};

}  // namespace tidegate::engine::mongodb
