// The shared contract suite of sources over the MongoDB source.

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/connectors/mongodb/encoder.h"
#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/mongodb/server_fixture.h"
#include "engine/contract/source_contract.h"

namespace tidegate::engine {
namespace {

using mongodb::Doc;
using mongodb::must;

boost::json::object in_database(const std::string& folder) {
  return {{"url", mongodb::server_url(mongodb::database_of(folder))}};
}

void make_collection(const std::string& folder, const std::string& name,
                     const arrow::RecordBatch& rows) {
  const auto db = mongodb::console(mongodb::database_of(folder));
  must(db->drop(name));
  must(db->run(Doc().put("create", std::string_view(name))));
  std::vector<int> fields;
  for (int i = 0; i < rows.num_columns(); ++i) fields.push_back(i);
  const auto encoder =
      must(mongodb::DocumentEncoder::make(*rows.schema(), fields, {}, mongodb::Timestamps::Date));
  std::vector<Doc> documents;
  std::vector<const bson_t*> raw;
  const auto flush = [&] {
    raw.clear();
    for (const Doc& d : documents) raw.push_back(d.get());
    must(db->insert(name, raw, true));
    documents.clear();
  };
  std::size_t bytes = 0;
  // A row that is made anew is the same document.
  encoder.encode(rows, [&](std::int64_t number, mongodb::DocumentEncoder::Row row) {
    bytes += row.fields.get()->len;
    Doc document = Doc().put("_id", number);
    bson_concat(document.get(), row.fields.get());
    documents.push_back(std::move(document));
    if (bytes < 8'000'000) return;
    flush();
    bytes = 0;
  });
  flush();
}

// A view in its place fails in the midst of the rows.
void damage(const std::string& folder, const std::string& name) {
  const auto db = mongodb::console(mongodb::database_of(folder));
  const std::string database = mongodb::database_of(folder), kept = name + " kept";
  must(db->run(Doc()
                   .put("renameCollection", std::string_view(database + "." + name))
                   .put("to", std::string_view(database + "." + kept)),
               "admin"));
  Doc pipeline;
  const std::string why = mongodb::append_json(
      pipeline.get(), "pipeline",
      R"([{"$addFields": {"bad": {"$divide": [1, {"$subtract": ["$id", 30000]}]}}}])");
  ASSERT_EQ(why, "");
  Doc view = Doc().put("create", std::string_view(name)).put("viewOn", std::string_view(kept));
  view.put_value("pipeline", mongodb::find_value(*pipeline.get(), "pipeline")->raw);
  must(db->run(view));
}

// SecantusDB takes a minute for 70,000 documents; a batch has 16,384.
constexpr std::int64_t kManyRows = 20'000;

TIDEGATE_SOURCE_CONTRACT(Mongodb, (SourceUnderTest{.name = "mongodb",
                                                   .connector = &mongodb_connector,
                                                   .config = &in_database,
                                                   .make = &make_collection,
                                                   .damage = &damage,
                                                   .keeps_empty_columns = false,
                                                   .many_rows = kManyRows,
                                                   .own_columns = {"_id"}}));

}  // namespace
}  // namespace tidegate::engine
