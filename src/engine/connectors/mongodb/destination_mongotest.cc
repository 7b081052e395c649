// What only MongoDB has: parts of a commit, a rename that a crash cut off, indexes and validators
// of the user's, a standalone server.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <unistd.h>

#include <algorithm>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/connectors/mongodb/ledger.h"
#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/mongodb/server_fixture.h"
#include "engine/connectors/mongodb/writer.h"
#include "engine/contract/fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

using contract::batch_of;
using Texts = std::vector<std::string>;

class MongoDestinationTest : public testing::TestWithParam<bool> {
 protected:
  MongoDestinationTest()
      : standalone_(GetParam()),
        name_("own" + std::to_string(getpid()) + "_" + std::to_string(++count_)),
        console_(console(name_, standalone_)) {}
  ~MongoDestinationTest() override { drop_database(name_, standalone_); }

  std::unique_ptr<Destination> destination(const std::string& options = "") {
    return must(mongodb_connector().make_destination(
        {{"url", server_url(name_, standalone_) + options}}, context_));
  }
  static WritePlan plan(std::int64_t fence, const char* job = "job") {
    return {.job = job, .entity = "t", .run_id = RunId("run"), .fence = Fence(fence)};
  }
  static std::shared_ptr<arrow::Schema> schema() {
    return arrow::schema({arrow::field("id", arrow::int64()), arrow::field("v", arrow::utf8())});
  }
  static LoadPlan load(LoadKind kind, std::int64_t max_rejected = 0) {
    LoadPlan plan{.kind = kind, .schema = schema(), .key = {}, .cursor = {}};
    if (kind == LoadKind::Merge) plan.key = {"id"};
    plan.max_rejected = max_rejected;
    return plan;
  }
  static void put(Writer& writer, const std::string& rows) {
    EXPECT_EQ(must(writer.write(*batch_of(schema(), rows))).size(), 0U);
  }
  // `id=v` of each document, sorted.
  Texts stored() {
    Texts out;
    must(console_->each("t", {}, {}, [&](const bson_t& d) -> Result<bool> {
      out.push_back(std::to_string(number_at(d, "id")) + "=" + text_at(d, "v"));
      return true;
    }));
    std::ranges::sort(out);
    return out;
  }
  std::optional<Record> record() { return must(Ledger(*console_).read("job", "t")); }

  static inline int count_ = 0;
  const bool standalone_;
  const std::string name_;
  std::unique_ptr<Connection> console_;
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
};

TEST_P(MongoDestinationTest, AnAppendThatDiedInPartsIsTakenAwayByTheNextAttempt) {
  const auto first = destination();
  auto writer = must(first->open(plan(1)));
  must(writer->begin(load(LoadKind::Append)));
  put(*writer, R"([[1, "a"]])");
  must(writer->flush());
  must(writer->commit(Writer::NewState{"one", 0}));
  // As a process that was killed behind a part left it.
  const std::string prefix = "\x01\x02\x03\x04\x05\x06\x07\x08";
  const Claim claim{
      .job = "job", .entity = "t", .table = "t", .fence = 1, .session = record()->stored.session};
  must(Ledger(*console_).announce_append(claim, prefix));
  bson_oid_t id{};
  std::copy_n(prefix.data(), 8, reinterpret_cast<char*>(id.bytes));
  must(console_->insert("t", {Doc().put("_id", id).put("id", 2).put("v", "half").get()}, true));
  const auto second = destination();
  auto again = must(second->open(plan(2)));
  EXPECT_EQ(again->state().state, "one");
  must(again->begin(load(LoadKind::Append)));
  put(*again, R"([[2, "b"]])");
  must(again->flush());
  must(again->commit(Writer::NewState{"two", 0}));
  EXPECT_EQ(stored(), (Texts{"1=a", "2=b"}));
  EXPECT_EQ(record()->unfinished, "");
}

// Symptom: the commit came through, the engine was told that it failed and gave up, and the rows of
// its first parts were gone although the state was there.
TEST_P(MongoDestinationTest, AnAppendInPartsWhoseCommitWasNotAnsweredKeepsItsRows) {
  if (standalone_) return;  // its commit is no transaction
  const auto d = destination("&appName=unanswered");
  auto writer = must(d->open(plan(1)));
  must(writer->begin(load(LoadKind::Append)));
  const std::string wide(9U << 20, 'x');
  for (const char* id : {"1", "2", "3", "4", "5"}) {
    put(*writer, std::string("[[") + id + ", \"" + wide + "\"]]");
  }
  must(writer->flush());
  // 100, UnsatisfiableWriteConcern: it was done, and the driver does not ask once more.
  const std::string commit = "commitTransaction";
  const Doc answer = Doc().put("code", 100).put("errmsg", "no majority answered");
  must(console_->run(Doc()
                         .put("configureFailPoint", "failCommand")
                         .put("mode", Doc().put("times", 1))
                         .put("data", Doc()
                                          .put_texts("failCommands", {&commit, 1})
                                          .put("appName", "unanswered")
                                          .put("writeConcernError", answer)),
                     "admin"));
  EXPECT_FALSE(writer->commit(Writer::NewState{"done", 0}));
  must(writer->abort({}));
  EXPECT_EQ(record()->stored.state, "done");
  EXPECT_EQ(must(console_->count("t")), 5);
}

// Symptom: another document was updated, whose `_id` is not null.
TEST_P(MongoDestinationTest, AKeyThatLooksLikeAnOperatorMatchesNoOtherDocument) {
  const auto fields = arrow::schema(
      {mark_json(arrow::field("id", arrow::utf8())), arrow::field("v", arrow::utf8())});
  const auto batch = [&](const char* rows) { return batch_of(fields, rows); };
  for (const LoadKind kind : {LoadKind::Merge, LoadKind::Replace}) {
    const auto d = destination();
    auto writer = must(d->open(plan(kind == LoadKind::Merge ? 1 : 2)));
    must(writer->begin(
        {.kind = kind, .schema = fields, .key = {"id"}, .cursor = {}, .max_rejected = 9}));
    for (const char* rows : {R"([["{\"a\": 1}", "kept"]])", R"([["{\"$ne\": null}", "x"]])",
                             R"([["{\"$ne\": null}", "y"]])"}) {
      must(writer->write(*batch(rows)));
    }
    must(writer->flush());
    must(writer->commit(Writer::NewState{"s", 0}));
    must(writer->finish());
    const auto kept =
        must(console_->find_one("t", Doc().put("_id", Doc().put("$eq", Doc().put("a", 1)))));
    ASSERT_TRUE(kept);
    EXPECT_EQ(text_at(*kept->get(), "v"), "kept");
  }
}

// Symptom: a job froze between announcing its stage and the rename, another took its collection
// over, and the first one's rename put its rows over those of the other.
TEST_P(MongoDestinationTest, AFormerOwnerThatWakesUpRenamesNothing) {
  for (const LoadKind kind : {LoadKind::Append, LoadKind::Replace}) {
    const std::int64_t fence = kind == LoadKind::Append ? 1 : 3;
    const auto mine = destination();
    auto taken = plan(fence);
    taken.take_over = true;
    auto owner = must(mine->open(taken));
    must(owner->begin(load(LoadKind::Replace)));
    put(*owner, R"([[1, "a"]])");
    must(owner->flush());
    must(owner->commit(Writer::NewState{"one", 0}));
    must(owner->finish());
    const auto frozen = destination();
    auto writer = must(frozen->open(plan(fence + 1)));
    must(writer->begin(load(LoadKind::Replace)));
    put(*writer, R"([[1, "frozen"]])");
    must(writer->flush());
    const Doc stages = Doc().put("name", Doc().put("$regex", "^_tidegate_stage_"));
    const auto stage = must(console_->list_collections(stages));
    ASSERT_EQ(stage.size(), 1U);
    const std::string name = text_at(*stage[0].get(), "name");
    const auto other = destination();
    auto next = plan(fence, "other");
    next.take_over = true;
    auto newer = must(other->open(next));
    must(newer->begin(load(kind)));
    put(*newer, R"([[2, "b"]])");
    must(newer->flush());
    must(newer->commit(Writer::NewState{"two", 0}));
    const Texts before = stored();
    EXPECT_FALSE(console_->run(Doc()
                                   .put("renameCollection", std::string_view(name_ + "." + name))
                                   .put("to", std::string_view(name_ + ".t"))
                                   .put("dropTarget", true),
                               "admin"));
    EXPECT_EQ(stored(), before);
    const Status refused = writer->commit(Writer::NewState{"frozen", 0});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Fenced) << describe(refused.error());
  }
}

// What the layout was planned for is gone; the next attempt plans anew and takes it over.
TEST_P(MongoDestinationTest, AnOwnerThatReplacesTheCollectionBeforeItIsTakenIsSeen) {
  const auto mine = destination();
  const auto replace = [&](std::int64_t fence) {
    auto owner = must(mine->open(plan(fence)));
    must(owner->begin(load(LoadKind::Replace)));
    put(*owner, R"([[1, "a"]])");
    must(owner->flush());
    must(owner->commit(Writer::NewState{"one", 0}));
  };
  replace(1);
  for (const std::int64_t fence : {1, 2}) {
    const auto other = destination();
    auto taking = plan(fence, "other");
    taking.take_over = true;
    auto writer = must(other->open(taking));
    must(writer->begin(load(LoadKind::Append)));
    put(*writer, R"([[2, "b"]])");
    if (fence == 1) replace(2);
    const auto flushed = writer->flush();
    EXPECT_EQ(flushed.has_value(), fence == 2);
    if (!flushed) {
      EXPECT_EQ(flushed.error().code, Code::Unavailable) << describe(flushed.error());
      must(writer->abort({}));
    } else {
      must(writer->commit(Writer::NewState{"two", 0}));
    }
    EXPECT_EQ(stored(), fence == 1 ? Texts{"1=a"} : (Texts{"1=a", "2=b"}));
  }
}

TEST_P(MongoDestinationTest, ACommitOfManyRowsInPartsCountsEachKeyOnce) {
  const auto d = destination();
  auto writer = must(d->open(plan(1)));
  auto merge = load(LoadKind::Merge);
  must(writer->begin(merge));
  // Two parts of a little more than half of what is held, by bytes.
  const std::string wide(9U << 20, 'x');
  for (const char* id : {"1", "2", "3", "4", "1", "5"}) {
    put(*writer, std::string("[[") + id + ", \"" + wide + "\"]]");
  }
  put(*writer, R"([[2, "late"]])");
  const CommitReport report = must(writer->flush());
  EXPECT_EQ(report.inserted, 5);
  EXPECT_EQ(report.updated, 0);
  EXPECT_EQ(report.superseded, 2);
  must(writer->commit(Writer::NewState{"s", 0}));
  EXPECT_EQ(must(console_->count("t")), 5);
  const auto two = must(console_->find_one("t", Doc().put("_id", std::int64_t{2})));
  EXPECT_EQ(text_at(*two->get(), "v"), "late");
}

TEST_P(MongoDestinationTest, AFullLoadWhoseRenameHappenedIsCompletedByTheNextAttempt) {
  {
    const auto d = destination();
    auto writer = must(d->open(plan(1)));
    must(writer->begin(load(LoadKind::Replace)));
    put(*writer, R"([[1, "a"]])");
    must(writer->flush());
    must(writer->commit(Writer::NewState{"old", 0}));
  }
  // The collection is the stage that the intent names, or it is not.
  const std::string uuid = bytes_at(*must(console_->collection_info("t"))->get(), "info.uuid");
  for (const bool placed : {false, true}) {
    const Claim claim{.job = "job",
                      .entity = "t",
                      .table = "t",
                      .fence = record()->stored.fence,
                      .session = record()->stored.session};
    must(Ledger(*console_).announce(claim, {.stage = "_tidegate_stage_gone",
                                            .uuid = placed ? uuid : std::string(16, 'x'),
                                            .state = Writer::NewState{"new", 3},
                                            .layout = {}}));
    const auto d = destination();
    const auto writer = must(d->open(plan(placed ? 3 : 2)));
    EXPECT_EQ(writer->state().state, placed ? "new" : "old");
    EXPECT_EQ(writer->state().epoch, placed ? 3 : 0);
    EXPECT_EQ(writer->state().sequence, placed ? 2 : 1);
    EXPECT_FALSE(record()->intent.has_value());
  }
}

TEST_P(MongoDestinationTest, AUniqueIndexOfTheUsersStaysAndRefusesItsRows) {
  must(console_->run(Doc().put("create", "t")));
  const Doc index = Doc().put("key", Doc().put("v", 1)).put("name", "by_v").put("unique", true);
  must(console_->run(Doc().put("createIndexes", "t").put_list("indexes", {&index, 1})));
  for (const LoadKind kind : {LoadKind::Replace, LoadKind::Append}) {
    const auto d = destination();
    auto writer = must(d->open(plan(kind == LoadKind::Replace ? 1 : 2)));
    must(writer->begin(load(kind, 2)));
    const bool first = kind == LoadKind::Replace;
    auto refused = must(writer->write(*batch_of(
        schema(), first ? R"([[1, "a"], [2, "a"], [3, "b"]])" : R"([[4, "b"], [5, "c"]])")));
    const CommitReport report = must(writer->flush());
    refused.insert(refused.end(), report.refused.begin(), report.refused.end());
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(report.rejected, 1);
    EXPECT_NE(refused[0].reason.find("by_v"), std::string::npos) << refused[0].reason;
    must(writer->reject(refused));
    must(writer->commit(Writer::NewState{"s", 0}));
    must(writer->finish());
  }
  EXPECT_EQ(stored(), (Texts{"1=a", "3=b", "5=c"}));
  EXPECT_EQ(must(console_->count("_tidegate_rejected")), 2);
}

// A merge sets its columns; what else a document has is the user's.
TEST_P(MongoDestinationTest, AMergeLeavesOtherFieldsAlone) {
  const auto d = destination();
  for (int fence = 1; fence <= 2; ++fence) {
    auto writer = must(d->open(plan(fence)));
    must(writer->begin(load(LoadKind::Merge)));
    put(*writer, fence == 1 ? R"([[1, "a"]])" : R"([[1, "b"]])");
    const CommitReport report = must(writer->flush());
    EXPECT_EQ(report.updated, fence - 1);
    must(writer->commit(Writer::NewState{"s", 0}));
    must(writer->finish());
    if (fence == 1) must(console_->update("t", {}, Doc().put("$set", Doc().put("mine", "kept"))));
  }
  const auto found = must(console_->find_one("t", {}));
  EXPECT_EQ(text_at(*found->get(), "v"), "b");
  EXPECT_EQ(text_at(*found->get(), "mine"), "kept");
}

// Symptom: a whole number became text in the source, and the next merge had each row twice.
TEST_P(MongoDestinationTest, AKeyOfAnotherTypeIsRefusedAndAnotherNumberIsNot) {
  const auto merge = [&](std::int64_t fence, const std::shared_ptr<arrow::DataType>& type) {
    const auto d = destination();
    auto writer = must(d->open(plan(fence)));
    const auto schema = arrow::schema({arrow::field("id", type)});
    const auto begun =
        writer->begin({.kind = LoadKind::Merge, .schema = schema, .key = {"id"}, .cursor = {}});
    if (!begun) return describe(begun.error());
    must(writer->write(
        *batch_of(schema, type->id() == arrow::Type::STRING ? R"([["1"]])" : "[[1]]")));
    must(writer->flush());
    must(writer->commit(Writer::NewState{"s", 0}));
    return std::string();
  };
  EXPECT_EQ(merge(1, arrow::int64()), "");
  EXPECT_EQ(merge(2, arrow::float64()), "");
  const std::string refused = merge(3, arrow::utf8());
  EXPECT_NE(refused.find("reset the job"), std::string::npos) << refused;
  EXPECT_EQ(must(console_->count("t")), 1);
}

// Symptom: a crash between making the collections and this left it empty for good.
TEST_P(MongoDestinationTest, AMissingDestinationIdIsWrittenByTheNextAttempt) {
  {
    const auto d = destination();
    must(d->open(plan(1)));
  }
  must(console_->erase("_tidegate_meta", {}));
  const auto d = destination();
  EXPECT_NE(must(d->open(plan(2)))->state().destination_id, "");
}

// As a driver's peers and a router send them.
TEST_P(MongoDestinationTest, ErrorsThatPassAreWorthAnotherAttempt) {
  if (standalone_) return;
  const boost::json::object config{{"url", server_url(name_) + "&appName=passing"}};
  const auto db = must(Connection::open(must(read_config(config, PathPolicy())), {}));
  const std::string ping = "ping";
  for (const int code : {6, 7, 133, 134, 9001, 11601, 14031}) {
    must(console_->run(Doc()
                           .put("configureFailPoint", "failCommand")
                           .put("mode", Doc().put("times", 1))
                           .put("data", Doc()
                                            .put_texts("failCommands", {&ping, 1})
                                            .put("appName", "passing")
                                            .put("errorCode", code)),
                       "admin"));
    const auto failed = db->run(Doc().put("ping", 1));
    ASSERT_FALSE(failed) << code;
    EXPECT_EQ(failed.error().code, Code::Unavailable) << code;
  }
}

TEST_P(MongoDestinationTest, AnOlderWriterInItsTransactionIsEndedAndFenced) {
  if (standalone_) return;  // it has no transaction
  const auto old = destination();
  auto writer = must(old->open(plan(1)));
  must(writer->begin(load(LoadKind::Merge)));
  put(*writer, R"([[1, "old"]])");
  must(writer->flush());  // holds the record
  const auto next = destination();
  auto newer = must(next->open(plan(2)));
  const Status refused = writer->commit(Writer::NewState{"old", 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Fenced) << describe(refused.error());
  EXPECT_EQ(stored(), Texts{});
}

TEST_P(MongoDestinationTest, NamesThatNoQueryCouldAddressAreRefusedWithTheRemedy) {
  for (const std::string& name :
       {std::string("a.b"), std::string("$a"), std::string(), std::string("a\0b", 3),
        std::string("_id"), std::string("_tidegate_x")}) {
    const auto d = destination();
    auto writer = must(d->open(plan(1)));
    const auto begun = writer->begin({.kind = LoadKind::Replace,
                                      .schema = arrow::schema({arrow::field(name, arrow::utf8())}),
                                      .key = {},
                                      .cursor = {}});
    ASSERT_FALSE(begun) << name;
    EXPECT_NE(begun.error().message.find("leave it out"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Servers, MongoDestinationTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Standalone" : "ReplicaSet"; });

}  // namespace
}  // namespace tidegate::engine::mongodb
