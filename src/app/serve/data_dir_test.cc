#include "app/serve/data_dir.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>
#include <vector>

#include "app/serve/server_process.h"
#include "base/process.h"
#include "cli/fake_server.h"
#include "cli/locate.h"

namespace tidegate::app {
namespace {

namespace fs = std::filesystem;

class DataDir : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/dataXXXXXX";
    base_ = ::mkdtemp(pattern.data());
    config_.data_dir = base_ + "/a/b";
    config_.path_roots = {config_.data_dir + "/files"};
  }
  void TearDown() override { fs::remove_all(base_); }

  std::string base_;
  Config config_;
  SystemRng rng_;
};

TEST_F(DataDir, IsMadeForItsOwnerOnly) {
  ASSERT_TRUE(prepare_data_dir(config_));
  EXPECT_EQ(fs::status(config_.data_dir).permissions(), fs::perms::owner_all);
  EXPECT_TRUE(fs::is_directory(config_.data_dir + "/files"));
  EXPECT_TRUE(prepare_data_dir(config_)) << "a second start";
}

TEST_F(DataDir, AFileInItsPlaceIsAnErrorThatNamesIt) {
  fs::create_directories(base_ + "/a");
  std::ofstream(config_.data_dir) << "x";
  const Status s = prepare_data_dir(config_);
  ASSERT_FALSE(s);
  EXPECT_EQ(traits(s.error().code).exit_code, 2);
  EXPECT_NE(s.error().message.find(config_.data_dir), std::string::npos);
  EXPECT_NE(s.error().message.find("--data"), std::string::npos);
}

TEST_F(DataDir, TheAdminTokenIsGeneratedOnceAndKept) {
  ASSERT_TRUE(prepare_data_dir(config_));
  const auto first = admin_token(config_, rng_);
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->generated);
  EXPECT_EQ(fs::status(first->file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  const auto second = admin_token(config_, rng_);
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->generated);
  EXPECT_EQ(second->text, first->text);
  // What tells its tokens from those of other folders outlives the token.
  const auto id = folder_id(config_, rng_);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->size(), 16U);
  EXPECT_EQ(folder_id(config_, rng_), id);
  config_.admin_token = Secret("configured-token-1");
  EXPECT_EQ(admin_token(config_, rng_)->text.reveal(), "configured-token-1");
}

// The loser overwrote the file, and its token was not the one that the winner's store knew.
TEST_F(DataDir, ServersThatStartTogetherHaveOneAdminToken) {
  for (int round = 0; round < 20; ++round) {
    fs::remove_all(config_.data_dir);
    ASSERT_TRUE(prepare_data_dir(config_));
    std::vector<std::string> texts(4);
    std::latch together(4);
    {
      std::vector<std::jthread> servers;
      for (std::string& text : texts) {
        servers.emplace_back([&] {
          SystemRng rng;
          together.arrive_and_wait();
          const auto token = admin_token(config_, rng);
          if (token) text = token->text.reveal();
        });
      }
    }
    EXPECT_FALSE(texts[0].empty());
    for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
  }
}

TEST_F(DataDir, AnEmptyTokenFileIsAnError) {
  ASSERT_TRUE(prepare_data_dir(config_));
  std::ofstream(config_.data_dir + "/admin-token") << "\n";
  const auto t = admin_token(config_, rng_);
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message.find("delete it"), std::string::npos);
}

TEST_F(DataDir, TheServerFileIsRemovedByItsOwnerOnly) {
  ASSERT_TRUE(prepare_data_dir(config_));
  const std::string path = config_.data_dir + "/server.json";
  ASSERT_TRUE(offer_server_file(config_, "http://127.0.0.1:1"));
  remove_server_file(config_);
  EXPECT_FALSE(fs::exists(path));
  std::ofstream(path) << R"({"url":"http://x","pid":1})";
  remove_server_file(config_);
  EXPECT_TRUE(fs::exists(path)) << "of another process";
}

// Seen here: a second server overwrote it and removed it at its end; the CLI then found neither.
TEST_F(DataDir, TheServerFileStaysWithTheServerThatLives) {
  ASSERT_TRUE(prepare_data_dir(config_));
  const std::string path = config_.data_dir + "/server.json";
  const auto named_by = [&](const ProcessIdentity& process) {
    std::ofstream(path) << fmt::format(R"({{"url":"http://first","process":"{}"}})",
                                       process.encode());
  };
  const auto named = [&] {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  ProcessIdentity first = this_process();
  first.pid = ::getppid();
  first.start_ticks = *process_start(first.pid);
  named_by(first);
  ASSERT_TRUE(offer_server_file(config_, "http://second"));
  remove_server_file(config_);
  EXPECT_THAT(named(), testing::HasSubstr("http://first"));
  first.start_ticks += 1;  // it ended, and its pid is another process's now
  named_by(first);
  ASSERT_TRUE(offer_server_file(config_, "http://second"));
  EXPECT_THAT(named(), testing::HasSubstr("http://second"));
}

// Seen here: a stopped server stayed named for ever, and the CLI waited for it beside a living one.
TEST_F(DataDir, TheServerFileIsTakenFromASilentServer) {
  ASSERT_TRUE(prepare_data_dir(config_));
  ProcessIdentity first = this_process();
  first.pid = ::getppid();
  first.start_ticks = *process_start(first.pid);
  std::ofstream(config_.data_dir + "/server.json")
      << fmt::format(R"({{"url":"http://first","process":"{}"}})", first.encode());
  const auto named = [&] { return cli::read_text_file(config_.data_dir + "/server.json").value(); };
  cli::FakeServer network;
  for (const char* reason : {"unreachable", "timeout"}) {
    EXPECT_THAT(named(), testing::HasSubstr("http://first")) << reason;
    network.on("GET", "/healthz", [&](const httpclient::Request&) {
      return fail(Code::Unavailable, "no answer", reason);
    });
    ASSERT_TRUE(offer_server_file(config_, "http://second", &network));
  }
  EXPECT_THAT(named(), testing::HasSubstr("http://second"));
  ASSERT_TRUE(offer_server_file(config_, "http://second", &network));
  EXPECT_EQ(network.requests.size(), 2U) << "it does not ask itself";
}

// Seen here: "no start line (PEM routines)" for a file that is not there.
TEST_F(DataDir, AMissingTlsFileIsSaidToBeMissing) {
  config_.listen = "127.0.0.1:0";
  EXPECT_TRUE(http_options(config_));
  config_.tls_cert = base_ + "/cert";
  const auto refused = http_options(config_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::Invalid);
  EXPECT_THAT(refused.error().message,
              testing::AllOf(testing::HasSubstr("tls.cert"), testing::HasSubstr(config_.tls_cert),
                             testing::HasSubstr("No such file")));
}

TEST(WorkerOptions, IntervalsScaleWithTheLeases) {
  Config config;
  config.scheduler_ttl = Millis(800);
  config.run_ttl = Millis(1200);
  config.max_concurrent_runs = 3;
  const worker::WorkerOptions o = worker_options(config);
  EXPECT_EQ(o.leader_renew, Millis(200));
  EXPECT_EQ(o.run_renew, Millis(300));
  EXPECT_LT(o.lease_margin + o.leader_renew, o.leader_ttl);
  EXPECT_LT(o.lease_margin + o.run_renew, o.run_ttl);
  EXPECT_LE(o.standby_poll, o.leader_ttl / 4);
  EXPECT_EQ(o.max_concurrent_runs, 3);
  config.scheduler_ttl = Millis(8000);
  config.run_ttl = Millis(12'000);
  EXPECT_EQ(worker_options(config).leader_renew, Millis(2000));
  EXPECT_EQ(worker_options(config).run_renew, Millis(3000));
  EXPECT_EQ(worker_options(config).lease_margin, Millis(1000));
}

}  // namespace
}  // namespace tidegate::app
