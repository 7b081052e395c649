#include "protocol/protocol.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "protocol/arguments.h"
#include "protocol/fields.h"

namespace tidegate::protocol {
namespace {

Request full_request() {
  Request r;
  r.source = Endpoint{"file", {{"path", "data/*.csv"}, {"password", "s3cret"}}};
  r.destination = Endpoint{"sqlite", {{"path", "out.db"}}};
  r.path_roots = {"/srv/files"};
  r.forbidden_paths = {"/srv/tidegate.db"};
  r.run.job = "job-1";
  r.run.run_id = RunId("run-1");
  r.run.attempt = 3;
  r.run.fence = Fence{1'763'918'000'000};
  r.run.mode = SyncMode::IncrementalAppend;
  r.run.entity_filter = {"a*", "b"};
  r.run.only_entities = {"b"};
  r.run.entities["b"] = {.cursor = "updated_at",
                         .primary_key = {"id", "line"},
                         .include_columns = {"x"},
                         .exclude_columns = {"y"},
                         .where = "x > 1",
                         .lookback = Millis(5000),
                         .lag = Millis(0)};
  r.run.schema_change = SchemaChange::Fail;
  r.run.max_rejected = 7;
  r.run.limit = 10;
  r.run.where = "id > 5";
  r.run.dry_run = true;
  r.run.take_over = true;
  r.run.known_state["b"] = {"dest-1", 2, 9, R"({"v":1})"};
  r.run.reset_epoch = 3;
  r.run.lease_until = BootInstant(Millis(123'456'789));
  r.run.patience = Millis(1500);
  return r;
}

TEST(AttemptArguments, NameTheAttemptAndNothingElse) {
  const AttemptArguments attempt = arguments_of(full_request().run);
  EXPECT_EQ(attempt.encode(), (std::vector<std::string>{"--job", "job-1", "--run", "run-1",
                                                        "--fence", "1763918000000"}));
  EXPECT_EQ(AttemptArguments::decode(attempt.encode()), attempt);
  for (const std::vector<std::string>& bad : std::initializer_list<std::vector<std::string>>{
           {},
           {"--job", "j", "--run", "r", "--fence"},
           {"--job", "j", "--run", "r", "--fence", "1x"},
           {"--job", "j", "--run", "r", "--fence", ""},
           {"--run", "r", "--job", "j", "--fence", "1"},
           {"--job", "j", "--run", "r", "--fence", "1", "more"}}) {
    EXPECT_FALSE(AttemptArguments::decode(bad));
  }
}

TEST(RequestCodec, EveryFieldSurvivesTheRoundTrip) {
  const std::string line = encode(full_request());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = parse_request(line);
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(encode(*back), line);
  EXPECT_EQ(back->run.entities.at("b").lag, Millis(0));
  EXPECT_EQ(back->run.lease_until, BootInstant(Millis(123'456'789)));
  EXPECT_EQ(back->source->config.at("password").as_string(), "s3cret");
}

TEST(RequestCodec, AnAbsentLeaseIsNotALeaseOfZero) {
  Request r = full_request();
  r.run.lease_until.reset();
  r.run.limit.reset();
  const auto back = parse_request(encode(r));
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->run.lease_until);
  EXPECT_FALSE(back->run.limit);
}

TEST(RequestCodec, ANewerVersionWithUnknownFieldsIsRead) {
  const auto r = parse_request(R"({"type":"request","version":9,"kind":"spec","colour":"blue"})");
  ASSERT_TRUE(r) << describe(r.error());
  EXPECT_EQ(r->version, 9);
  EXPECT_EQ(r->kind, RequestKind::Spec);
}

struct BadLine {
  const char* name;
  const char* line;
  const char* says;
};
void PrintTo(const BadLine& b, std::ostream* out) { *out << b.name; }

class BadRequest : public testing::TestWithParam<BadLine> {};
TEST_P(BadRequest, IsMalformedAndSaysWhy) {
  const auto r = parse_request(GetParam().line);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::Malformed);
  EXPECT_NE(r.error().message.find(GetParam().says), std::string::npos) << r.error().message;
}
INSTANTIATE_TEST_SUITE_P(
    Lines, BadRequest,
    testing::Values(
        BadLine{"Empty", "", "JSON"}, BadLine{"Garbage", "hello", "JSON"},
        BadLine{"List", "[1]", "object"}, BadLine{"NoType", "{}", "type"},
        BadLine{"NoKind", R"({"type":"request"})", "kind"},
        BadLine{"OddKind", R"({"type":"request","kind":"fly"})", "kind"},
        BadLine{"VersionZero", R"({"type":"request","version":0,"kind":"spec"})", "version"},
        BadLine{"RunWithoutRun", R"({"type":"request","kind":"run"})", "run"},
        BadLine{"RunWithoutEnds", R"({"type":"request","kind":"run","run":{"job":"j"}})", "source"},
        BadLine{"CheckOfNothing", R"({"type":"request","kind":"check"})", "check"},
        BadLine{"DiscoverDestination",
                R"({"type":"request","kind":"discover","destination":{"type":"sqlite"}})",
                "discover"},
        BadLine{"TextFence",
                R"({"type":"request","kind":"run","run":{"job":"j","fence":"x"},)"
                R"("source":{"type":"a"},"destination":{"type":"b"}})",
                "fence"},
        BadLine{"EntityNoObject",
                R"({"type":"request","kind":"run","run":{"job":"j","entities":{"a":1}},)"
                R"("source":{"type":"a"},"destination":{"type":"b"}})",
                "entities"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(ControlCodec, RoundTripAndUnknownTypes) {
  const auto lease = parse_control(encode(Control{LeaseRenewed{BootInstant(Millis(42))}}));
  ASSERT_TRUE(lease && *lease);
  EXPECT_EQ(std::get<LeaseRenewed>(**lease).until, BootInstant(Millis(42)));
  const auto cancel = parse_control(encode(Control{CancelRequested{}}));
  ASSERT_TRUE(cancel && *cancel);
  EXPECT_TRUE(std::holds_alternative<CancelRequested>(**cancel));
  const auto unknown = parse_control(R"({"type":"dance"})");
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(*unknown);
  EXPECT_FALSE(parse_control(R"({"type":"lease_renewed"})"));
  EXPECT_FALSE(parse_control(R"({"until":1})"));
}

TEST(EventCodec, EveryEventSurvivesTheRoundTrip) {
  EntityResult entity;
  entity.entity = "weather";
  entity.outcome = EntityOutcome::Failed;
  entity.rows_read = 10;
  entity.rows_written = 7;
  entity.rows_updated = 2;
  entity.rows_deleted = 1;
  entity.rows_rejected = 2;
  entity.rows_deduplicated = 1;
  entity.rows_superseded = 3;
  entity.bytes = 1234;
  entity.duration = Millis(56);
  entity.destination_table = "weather";
  entity.schema_changes = {"added column \"x\""};
  entity.warnings = {"w"};
  entity.error_kind = "data";
  entity.error = "line\nbreak";
  RunResult result;
  result.code = ExitCode::Retryable;
  result.entities = {entity};
  result.error_kind = "rate_limited";
  result.error = "wait";
  result.retry_after = Millis(9000);
  result.fence_found = Fence{1'763'918'000'001};
  result.warnings = {"a", "b"};
  result.reply = boost::json::object{{"ok", true}};
  const Event events[] = {Started{1, "0.1.0+abc"},
                          EntityPlanned{"weather", 26115},
                          EntityPlanned{"planes", {}},
                          Progress{"weather", 5, 4, 300},
                          StateCommitted{"weather", {"dest", 4, 5, R"({"cursor":"5"})"}},
                          LogLine{LogLevel::Warn, "watch out", "weather"},
                          result};
  for (const Event& e : events) {
    const std::string line = encode(e);
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    const auto back = parse_event(line);
    ASSERT_TRUE(back && *back) << line;
    EXPECT_EQ((*back)->index(), e.index());
    EXPECT_EQ(encode(**back), line);
  }
}

TEST(EventCodec, UnknownEventsAreIgnoredAndWrongOnesAreNot) {
  const auto unknown = parse_event(R"({"type":"trace","span":1})");
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(*unknown);
  EXPECT_FALSE(parse_event(R"({"type":"result"})"));
  EXPECT_FALSE(parse_event(R"({"type":"result","code":77})"));
  EXPECT_FALSE(parse_event(R"({"type":"result","code":0,"entities":[3]})"));
  EXPECT_FALSE(parse_event(R"({"type":"progress","entity":"e","rowsRead":"many"})"));
}

TEST(EventCodec, BytesThatAreNoUtf8DoNotBreakTheLine) {
  const std::string line = encode(Event{LogLine{LogLevel::Error, "value \xff\xfe\0 end", ""}});
  const auto back = parse_event(line);
  ASSERT_TRUE(back && *back) << line;
  EXPECT_NE(std::get<LogLine>(**back).message.find("\uFFFD"), std::string::npos);
}

TEST(ToUtf8, KeepsWhatIsRightAndReplacesTheRest) {
  EXPECT_EQ(to_utf8("aé€😀"), "aé€😀");
  EXPECT_EQ(to_utf8("\xC0\xAF"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(to_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
  EXPECT_EQ(to_utf8("a\xE2\x82"), "a\uFFFD\uFFFD");          // cut off
}

}  // namespace
}  // namespace tidegate::protocol
