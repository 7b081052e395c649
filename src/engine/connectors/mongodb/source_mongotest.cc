// What only a MongoDB source has: documents that differ, filters, bounds of every kind.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <unistd.h>

#include <algorithm>

#include "base/rng.h"
#include "base/time.h"
#include "engine/connectors/mongodb/bson_json.h"
#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/mongodb/server_fixture.h"
#include "engine/contract/scripted_source.h"
#include "engine/core/context.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

using Texts = std::vector<std::string>;

class MongoSourceTest : public testing::Test {
 protected:
  MongoSourceTest()
      : name_("src" + std::to_string(getpid()) + "_" + std::to_string(++count_)),
        console_(console(name_)) {}
  ~MongoSourceTest() override { drop_database(name_); }

  void add(const std::string& json) {
    Doc d;
    ASSERT_EQ(append_json(d.get(), "d", json), "");
    must(console_->insert("t", {document_at(*d.get(), "d")->get()}, true));
  }
  std::unique_ptr<Source> source(const char* mode = "columns") {
    return must(
        mongodb_connector().make_source({{"url", server_url(name_)}, {"mode", mode}}, context_));
  }
  struct Read {
    Texts rows, rejected;
  };
  static Read read(Source& s, const ReadParams& params) {
    Read out;
    const auto reader = must(s.open(params, {}));
    while (auto batch = must(reader->next())) {
      for (auto& text : contract::row_texts({batch->batch}, params.columns)) {
        out.rows.push_back(std::move(text));
      }
      for (const auto& r : batch->rejected) out.rejected.push_back(r.locator + ": " + r.reason);
    }
    return out;
  }

  static inline int count_ = 0;
  const std::string name_;
  std::unique_ptr<Connection> console_;
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
};

TEST_F(MongoSourceTest, DocumentsThatDifferBecomeColumnsThatHoldThemAll) {
  add(R"({"_id": 1, "n": 1, "mixed": 5, "deep": {"a": [1]}, "at": {"$date": {"$numberLong": "1500"}}})");
  add(R"({"_id": 2, "n": 0.5, "mixed": "x", "deep": "text", "late": true})");
  const auto s = source();
  const Catalog catalog = must(s->discover({}));
  const EntityInfo& info = catalog.entities.at(0);
  EXPECT_EQ(info.primary_key, Texts{"_id"});
  EXPECT_EQ(info.schema->field_names(), (Texts{"_id", "n", "mixed", "deep", "at", "late"}));
  EXPECT_TRUE(is_json(*info.schema->GetFieldByName("deep")));
  EXPECT_EQ(info.warnings.size(), 2U);
  const Read got = read(*s, {.entity = "t", .columns = info.schema->field_names()});
  EXPECT_EQ(got.rows,
            (Texts{"_id=1|n=1|mixed=5|deep={\"a\":[1]}|at=1970-01-01T00:00:01.500Z|late=∅",
                   "_id=2|n=0.5|mixed=x|deep=\"text\"|at=∅|late=1"}));
  // It changed since it was looked into.
  add(R"({"_id": 3, "n": "no number"})");
  const Read changed = read(*s, {.entity = "t", .columns = {"_id", "n"}});
  ASSERT_EQ(changed.rejected.size(), 1U);
  EXPECT_NE(changed.rejected[0].find("t _id=3: field \"n\": holds a text"), std::string::npos)
      << changed.rejected[0];
}

TEST_F(MongoSourceTest, WholeDocumentsComeAsJson) {
  add(R"({"_id": {"$oid": "0123456789abcdef01234567"}, "a": {"$numberDecimal": "1.50"}})");
  const auto s = source("document");
  must(s->discover({}));
  EXPECT_EQ(read(*s, {.entity = "t", .columns = {"_id", "document"}}).rows,
            Texts{"_id=0123456789abcdef01234567|document={\"_id\":{\"$oid\":"
                  "\"0123456789abcdef01234567\"},\"a\":{\"$numberDecimal\":\"1.50\"}}"});
}

TEST_F(MongoSourceTest, ABoundHidesNoDocumentOfAnotherTypeOrWithoutAValue) {
  add(R"({"_id": {"$oid": "000000000000000000000001"}, "at": {"$date": {"$numberLong": "1000"}}, "s": "a"})");
  add(R"({"_id": {"$oid": "000000000000000000000002"}, "at": {"$date": {"$numberLong": "2000"}}, "s": "b"})");
  add(R"({"_id": {"$oid": "000000000000000000000003"}})");
  const auto s = source();
  must(s->discover({}));
  ReadParams params{.entity = "t", .columns = {"_id"}, .cursor = "at"};
  params.columns = {"_id", "at", "s"};
  params.from = CursorValue::timestamp_ns(Int128{2'000'000'000});
  EXPECT_EQ(read(*s, params).rows.size(), 2U);
  params.cursor = "s";
  params.from = CursorValue::text("b");
  EXPECT_EQ(read(*s, params).rows.size(), 2U);
  params.cursor = "at";
  params.from = CursorValue::timestamp_ns(Int128{2'000'000'000});
  add(R"({"_id": {"$oid": "000000000000000000000004"}, "at": "1999-01-01"})");
  EXPECT_EQ(read(*s, params).rejected.size(), 1U) << "it is told, and not left out";
}

// Seen here: a batch had room for each field of every document, whatever few fields each had, and a
// run took gigabytes.
TEST_F(MongoSourceTest, FieldsThatOthersLackDoNotMakeABatchGreat) {
  constexpr int kDocuments = 2'500;
  std::vector<Doc> documents;
  std::vector<const bson_t*> raw;
  for (int i = 0; i < kDocuments; ++i) {
    documents.push_back(Doc().put("_id", i).put("f" + std::to_string(i), i));
  }
  for (const Doc& d : documents) raw.push_back(d.get());
  must(console_->insert("t", raw, true));
  const auto s = source();
  const Catalog catalog = must(s->discover({}));
  const auto reader =
      must(s->open({.entity = "t", .columns = catalog.entities.at(0).schema->field_names()}, {}));
  std::int64_t rows = 0;
  while (auto batch = must(reader->next())) {
    rows += batch->batch->num_rows();
    EXPECT_LE(batch->batch->num_rows() * batch->batch->num_columns() * 8,
              kMaxBatchBytes + (1 << 20));
  }
  EXPECT_EQ(rows, kDocuments);
}

TEST_F(MongoSourceTest, MoreFieldsThanATableCanHaveAreToldWithTheRemedy) {
  std::string json = R"({"_id": 1)";
  for (int i = 0; i < 10'000; ++i) json += ", \"f" + std::to_string(i) + "\": 1";
  add(json + "}");
  must(console_->insert("u", {Doc().put("_id", 1).get()}, true));
  const Catalog catalog = must(source()->discover({}));
  ASSERT_EQ(catalog.bad.size(), 1U);
  EXPECT_EQ(catalog.bad[0].name, "t");
  EXPECT_NE(catalog.bad[0].error.message.find("`mode` of the source to `document`"),
            std::string::npos);
  EXPECT_EQ(catalog.entities.size(), 1U) << "the other one is read";
  EXPECT_EQ(must(source("document")->discover({})).entities.size(), 2U);
}

// Symptom: a client with a slow clock inserted documents, and no run ever copied them.
TEST_F(MongoSourceTest, AnObjectIdIsNoCursor) {
  add(R"({"_id": {"$oid": "000000000000000000000001"}, "n": 1})");
  const auto s = source();
  EXPECT_EQ(must(s->discover({})).entities.at(0).cursor_candidates, Texts{"n"});
  const auto refused = s->open({.entity = "t", .columns = {"_id"}, .cursor = "_id"}, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("own clock"), std::string::npos);
}

TEST_F(MongoSourceTest, AConditionIsAFilterOfMongoDB) {
  add(R"({"_id": 1, "v": 1})");
  add(R"({"_id": 2, "v": 2})");
  const auto s = source();
  must(s->discover({}));
  ReadParams params{.entity = "t", .columns = {"_id"}, .where = {R"({"v": {"$gt": 1}})"}};
  EXPECT_EQ(read(*s, params).rows, Texts{"_id=2"});
  params.where = {"v > 1"};
  const auto refused = s->open(params, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("as JSON"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::engine::mongodb
