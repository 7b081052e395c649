#include "control/api/test_fixture.h"

#include <fmt/format.h>

namespace tidegate::api {
namespace {

constexpr std::string_view kSpec = R"({"connectors":[
 {"name":"file","title":"Files","roles":["source"],"spec":{"type":"object","required":["path"],
   "additionalProperties":false,"properties":{"path":{"type":"string","minLength":1},
     "delimiter":{"type":"string","pattern":"^(.|\\\\t)$","patternWords":"one character"},
     "format":{"type":"string","enum":["csv","jsonl"]},"header":{"type":"boolean"},
     "nullValues":{"type":"array","maxItems":2,"items":{"type":"string"}}}}},
 {"name":"sqlite","title":"SQLite","roles":["source","destination"],"spec":{"type":"object","required":["path"],
   "additionalProperties":false,"properties":{"path":{"type":"string","minLength":1},
     "timeout":{"type":"integer","minimum":1,"roles":["source"]},
     "journal":{"type":"string","roles":["destination"]}}}},
 {"name":"vault","title":"Vault","roles":["source","destination"],"spec":{"type":"object","required":["host","password"],
   "additionalProperties":false,"properties":{"host":{"type":"string"},
     "password":{"type":"string","minLength":3,"secret":true},
     "tls":{"type":"object","additionalProperties":false,"properties":{"key":{"type":"string","secret":true}}}}}}
]})";

}  // namespace

FakeEngine::FakeEngine()
    : spec_(std::make_shared<const boost::json::value>(json::parse(kSpec).value())) {}

Result<std::shared_ptr<const boost::json::value>> FakeEngine::spec() {
  if (error) return std::unexpected(*error);
  return spec_;
}
Result<boost::json::value> FakeEngine::check(protocol::Endpoint endpoint, bool) {
  last = std::move(endpoint);
  if (error) return std::unexpected(*error);
  if (reply) return *reply;
  return boost::json::value{{"ok", true}, {"message", "works"}};
}
Result<boost::json::value> FakeEngine::discover(protocol::Endpoint endpoint, bool) {
  last = std::move(endpoint);
  if (error) return std::unexpected(*error);
  if (reply) return *reply;
  return boost::json::value{{"entities", boost::json::array{boost::json::object{{"name", "t"}}}}};
}

std::string Answer::at(std::string_view member) const {
  const auto* v = data().as_object().if_contains(member);
  if (v == nullptr) return "(absent)";
  return v->is_string() ? std::string(v->get_string()) : json::write(*v);
}
std::string Answer::code() const {
  const auto* v = body.if_contains("code");
  return v == nullptr ? "" : std::string(v->as_string());
}
std::string Answer::error() const {
  const auto* v = body.if_contains("error");
  return v == nullptr ? "" : std::string(v->as_string());
}
std::vector<std::string> Answer::fields() const {
  std::vector<std::string> names;
  if (const auto* details = body.if_contains("details")) {
    for (const auto& d : details->as_array()) names.emplace_back(d.at("field").as_string());
  }
  return names;
}
std::string Answer::header(std::string_view name) const {
  for (const auto& h : headers) {
    if (h.name == name) return h.value;
  }
  return {};
}

ApiTest::ApiTest() : keys_(secrets::KeyRing::from_text(std::string(64, 'c')).value()) {
  ApiOptions options;
  options.version = "test";
  options.max_body_bytes = 64 << 10;
  api_ = std::make_unique<Api>(ApiDeps{*store_, engine_, keys_, clock_, rng_}, options);
  router_ = api_->router().value();
  admin_ = make_token(model::Role::Admin);
}

Answer ApiTest::call(http::Method method, std::string path, std::string body,
                     std::vector<http::Header> headers, std::optional<std::string> token) {
  const std::string bearer = token.value_or(admin_);
  if (!bearer.empty()) headers.push_back({"Authorization", "Bearer " + bearer});
  const bool typed =
      std::ranges::any_of(headers, [](const auto& h) { return h.name == "Content-Type"; });
  if (!body.empty() && !typed) headers.push_back({"Content-Type", "application/json"});
  auto request = http::Request::make(method, path, headers, std::move(body));
  EXPECT_TRUE(request.has_value()) << path;
  http::Response response = router_->handle(*request);
  Answer a;
  a.status = response.status;
  a.text = std::move(response.body);
  a.headers = std::move(response.headers);
  if (auto v = json::parse(a.text); v && v->is_object()) a.body = v->get_object();
  return a;
}

std::string ApiTest::make_token(model::Role role, std::vector<WorkspaceId> workspaces,
                                std::optional<Instant> expires) {
  const Secret text = secrets::new_token(rng_);
  model::Token t;
  t.id = new_id<TokenId>(clock_, rng_);
  t.name = fmt::format("token {}", ++made_);
  t.hash = secrets::hash_token(text.reveal());
  t.role = role;
  t.workspaces = std::move(workspaces);
  t.expires_at = expires;
  t.created_at = clock_.now();
  EXPECT_TRUE(store_->create_token(t).has_value());
  return std::string(text.reveal());
}

std::string ApiTest::make_source(const std::string& name) {
  const Answer a =
      post(kDefault + "/data-sources",
           fmt::format(R"({{"name":"{}","type":"file","config":{{"path":"/srv/in.csv"}}}})", name));
  EXPECT_EQ(a.status, 201) << a.text;
  return a.at("id");
}

std::string ApiTest::make_destination(const std::string& name) {
  const Answer a =
      post(kDefault + "/destinations",
           fmt::format(R"({{"name":"{}","type":"sqlite","config":{{"path":"/srv/{}.db"}}}})", name,
                       name));
  EXPECT_EQ(a.status, 201) << a.text;
  return a.at("id");
}

std::string ApiTest::job_body(const std::string& name, const std::string& more) {
  return fmt::format(R"({{"name":"{}","dataSourceId":"{}","destinationDatabaseId":"{}"{}{}}})",
                     name, make_source(name + " in"), make_destination(name + " out"),
                     more.empty() ? "" : ",", more);
}

std::string ApiTest::make_job(const std::string& name, const std::string& more) {
  const Answer a = post(kDefault + "/sync-jobs", job_body(name, more));
  EXPECT_EQ(a.status, 201) << a.text;
  return a.at("id");
}

}  // namespace tidegate::api
