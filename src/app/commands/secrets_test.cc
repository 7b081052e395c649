// `tidegate secrets rotate` on a store with sealed secrets.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "app/commands/commands.h"
#include "base/json.h"
#include "control/secrets/config_seal.h"
#include "control/store/sqlite/sqlite_store.h"

namespace tidegate::app {
namespace {

using ::testing::HasSubstr;

const std::string kOld(64, 'a'), kNew(64, 'b'), kOther(64, 'c');

secrets::KeyRing ring(const std::string& keys) { return *secrets::KeyRing::from_text(keys); }

class SecretsRotate : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/rotateXXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    store_ = *store::open_sqlite_store({.path = folder_ + "/tidegate.db"}, clock_);
    workspace_ = store_->find_workspace("default")->id;
    context_.io.out = [this](std::string_view text) { out_ += text; };
    context_.io.err = [](std::string_view) {};
    context_.io.env = [this](const std::string& name) -> std::optional<std::string> {
      return name == "TIDEGATE_SECRET_KEY" && !key_.empty() ? std::optional(key_) : std::nullopt;
    };
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void add(const std::string& id, model::ConnectionKind kind, const std::string& key) {
    const auto spec =
        json::parse(R"({"type":"object","properties":{"password":{"secret":true}}})")->as_object();
    std::vector<FieldError> errors;
    model::Connection c;
    c.id = ConnectionId(id);
    c.workspace = workspace_;
    c.kind = kind;
    c.name = id;
    c.type = "postgres";
    c.config = secrets::seal_config(ring(key), rng_, c.id, spec, {{"password", "pw of " + id}},
                                    nullptr, errors);
    ASSERT_TRUE(store_->create_connection(c, std::nullopt));
  }
  Result<int> rotate(const std::string& key) {
    key_ = key;
    out_.clear();
    cli::Args args;
    args.set("data", {folder_});
    args.set("output", {"json"});
    return secrets_rotate_command().action(context_, args);
  }
  // The plain password, opened with only this key; empty: it does not open.
  std::string password(const std::string& id, model::ConnectionKind kind, const std::string& key) {
    const auto c = store_->get_connection(workspace_, kind, ConnectionId(id));
    const auto open = secrets::open_config(ring(key), c->id, c->config);
    return open ? std::string(open->at("password").as_string()) : "";
  }

  std::string folder_, key_, out_;
  SystemClock clock_;
  SystemRng rng_;
  std::unique_ptr<store::Store> store_;
  WorkspaceId workspace_;
  cli::Context context_;
};

TEST_F(SecretsRotate, SealsEverySecretWithTheNewKeyAndMayBeRepeated) {
  add("a", model::ConnectionKind::Source, kOld);
  add("b", model::ConnectionKind::Destination, kOld);
  add("c", model::ConnectionKind::Destination, kNew);
  const auto code = rotate(kNew + "," + kOld);
  ASSERT_TRUE(code) << code.error().message;
  EXPECT_THAT(out_, HasSubstr(R"("sealedAgain": 2)"));
  EXPECT_EQ(password("a", model::ConnectionKind::Source, kNew), "pw of a");
  EXPECT_EQ(password("b", model::ConnectionKind::Destination, kNew), "pw of b");
  EXPECT_EQ(password("a", model::ConnectionKind::Source, kOld), "");
  ASSERT_TRUE(rotate(kNew));
  EXPECT_THAT(out_, HasSubstr(R"("sealedAgain": 0)"));
}

TEST_F(SecretsRotate, ASecretThatNoKeyOpensIsNamedAndStopsNoOther) {
  add("a", model::ConnectionKind::Source, kOther);
  add("b", model::ConnectionKind::Source, kOld);
  const auto code = rotate(kNew + "," + kOld);
  ASSERT_FALSE(code);
  ASSERT_EQ(code.error().details.size(), 1U);
  EXPECT_EQ(code.error().details[0].field, "a");
  EXPECT_EQ(password("b", model::ConnectionKind::Source, kNew), "pw of b");
  EXPECT_EQ(password("a", model::ConnectionKind::Source, kOther), "pw of a");
}

TEST_F(SecretsRotate, WaitsUntilEveryRunningServerHasTheNewKey) {
  add("a", model::ConnectionKind::Source, kOld);
  model::WorkerInfo worker{.id = OwnerId("w1"), .host = "h", .pid = 42};
  worker.secret_keys = ring(kOld).key_ids();
  ASSERT_TRUE(store_->heartbeat(worker));
  const auto early = rotate(kNew + "," + kOld);
  ASSERT_FALSE(early);
  EXPECT_EQ(traits(early.error().code).exit_code, 2);
  ASSERT_EQ(early.error().details.size(), 1U);
  EXPECT_THAT(early.error().details[0].field, HasSubstr("w1"));
  EXPECT_EQ(password("a", model::ConnectionKind::Source, kOld), "pw of a") << "nothing changed";
  worker.secret_keys = ring(kNew + "," + kOld).key_ids();
  ASSERT_TRUE(store_->heartbeat(worker));
  EXPECT_TRUE(rotate(kNew + "," + kOld));
}

TEST_F(SecretsRotate, WithoutAKeyItSaysWhereOneGoesAndMakesNone) {
  const auto code = rotate("");
  ASSERT_FALSE(code);
  EXPECT_THAT(code.error().message, HasSubstr("TIDEGATE_SECRET_KEY"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/secret-key"));
}

}  // namespace
}  // namespace tidegate::app
