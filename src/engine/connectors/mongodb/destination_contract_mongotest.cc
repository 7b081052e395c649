// The shared contract suite over the MongoDB destination, read back by the MongoDB source.

#include <algorithm>

#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/mongodb/server_fixture.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

using Loss = contract::DestinationUnderTest::Loss;

boost::json::object in_database(const std::string& folder) {
  return {{"url", mongodb::server_url(mongodb::database_of(folder))}};
}

boost::json::object with_dates(const std::string& folder) {
  auto config = in_database(folder);
  config["timestamps"] = "date";
  return config;
}

std::vector<std::string> rejected(const std::string& folder) {
  const auto db = mongodb::console(mongodb::database_of(folder));
  std::vector<std::string> out;
  mongodb::must(db->each("_tidegate_rejected", {}, {}, [&](const bson_t& d) -> Result<bool> {
    out.push_back(mongodb::text_at(d, "runId") + "/" +
                  std::to_string(mongodb::number_at(d, "attempt")) + " " +
                  mongodb::text_at(d, "locator"));
    return true;
  }));
  std::ranges::sort(out);
  return out;
}

void lose(const std::string& folder, Loss) { mongodb::drop_database(mongodb::database_of(folder)); }

// Every document, with the names of the collections.
void copy(const std::string& from, const std::string& to) {
  const auto source = mongodb::console(from);
  const auto target = mongodb::console(to);
  for (const auto& info : mongodb::must(source->list_collections({}))) {
    const std::string name = mongodb::text_at(*info.get(), "name");
    mongodb::must(target->run(mongodb::Doc().put("create", std::string_view(name))));
    mongodb::must(source->each(name, {}, {}, [&](const bson_t& d) -> Result<bool> {
      mongodb::must(target->insert(name, {&d}, true));
      return true;
    }));
  }
}

void back_up(const std::string& folder) {
  const std::string name = mongodb::database_of(folder);
  copy(name, name + "_old");
}

void restore(const std::string& folder) {
  const std::string name = mongodb::database_of(folder);
  mongodb::drop_database(name);
  copy(name + "_old", name);
  mongodb::drop_database(name + "_old");
}

void tidy(const std::string& folder) { lose(folder, Loss::Removed); }

// SecantusDB, not MongoDB, has no dates before the year 1.
constexpr int kFirstDay = -719'162;

TIDEGATE_DESTINATION_CONTRACT(Mongodb, (DestinationUnderTest{.name = "mongodb",
                                                             .connector = &mongodb_connector,
                                                             .config = &with_dates,
                                                             .reader = &mongodb_connector,
                                                             .reader_config = &in_database,
                                                             .rejected = &rejected,
                                                             .lose = &lose,
                                                             .back_up = &back_up,
                                                             .restore = &restore,
                                                             .tidy = &tidy,
                                                             .keeps_json_text = false,
                                                             .decimal_digits = 34,
                                                             .time_step_us = 1'000,
                                                             .first_day = kFirstDay,
                                                             .reads_may_fail = true}));

}  // namespace
}  // namespace tidegate::engine
