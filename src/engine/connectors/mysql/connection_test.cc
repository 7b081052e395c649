// What a server is told before it is known to be the right one.

#include "engine/connectors/mysql/connection.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "engine/connectors/mysql/greeting.h"

namespace tidegate::engine::mysql {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPassword = "canary-of-a-password";
constexpr std::string_view kFullLogin("\x01\x04",
                                      2);  // asks caching_sha2_password for the password

std::string greeting(const std::string& plugin, bool tls) {
  std::string out = "\x0A";
  out += std::string("8.0.36") + '\0' + std::string(4, '\x01') + "abcdefgh" + '\0';
  out += std::string("\x08") + (tls ? '\xAA' : '\xA2');  // low capabilities
  out += std::string("\x2D\x02\x00\x08\x00\x15", 6) + std::string(10, '\0');
  return out + "ijklmnopqrst" + '\0' + plugin + '\0';
}

// Greets with the packets, one guest after the other, asks for a full login, and keeps all that it
// is told.
class FakeServer {
 public:
  explicit FakeServer(std::vector<std::string> greetings)
      : greetings_(std::move(greetings)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), size) != 0 ||
        listen(listener_.get(), 8) != 0 ||
        getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &size) != 0) {
      throw std::runtime_error("no server for the test");
    }
    port_ = ntohs(at.sin_port);
    thread_ = std::jthread([this] {
      while (const UniqueFd guest{accept(listener_.get(), nullptr, nullptr)}) serve(guest.get());
    });
  }
  ~FakeServer() { (void)told(); }

  int port() const { return port_; }
  // Ends it.
  const std::string& told() {
    (void)shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return told_;
  }

 private:
  static void say(int guest, int sequence, std::string_view packet) {
    std::string out{static_cast<char>(packet.size()), 0, 0, static_cast<char>(sequence)};
    out += packet;
    (void)send(guest, out.data(), out.size(), MSG_NOSIGNAL);
  }
  bool listen_to(int guest) {
    char bytes[4096];
    const ssize_t n = recv(guest, bytes, sizeof bytes, 0);
    if (n > 0) told_.append(bytes, static_cast<std::size_t>(n));
    return n > 0;
  }
  void serve(int guest) {
    say(guest, 0, greetings_[std::min(guests_++, greetings_.size() - 1)]);
    if (!listen_to(guest)) return;
    say(guest, 2, kFullLogin);
    (void)listen_to(guest);
  }

  const std::vector<std::string> greetings_;
  std::size_t guests_ = 0;
  std::string told_;
  UniqueFd listener_;
  int port_ = 0;
  std::jthread thread_;
};

Config config_of(const FakeServer& server, SslMode mode) {
  return {.host = "127.0.0.1",
          .port = server.port(),
          .database = "d",
          .user = "u",
          .password = Secret(kPassword),
          .ssl_mode = mode,
          .ssl_ca = mode == SslMode::VerifyCa ? "/etc/ssl/certs/ca-certificates.crt" : ""};
}

// Symptom elsewhere: a server without TLS that asked for caching_sha2_password had the password in
// clear, in the mode `required` too.
TEST(MysqlConnection, AServerWithoutTlsNeverHearsThePassword) {
  for (const char* plugin :
       {"caching_sha2_password", "sha256_password", "mysql_clear_password", "dialog"}) {
    for (const auto mode : {SslMode::Disabled, SslMode::Preferred, SslMode::Required,
                            SslMode::VerifyCa, SslMode::VerifyIdentity}) {
      FakeServer server({greeting(plugin, false)});
      const auto db = Connection::open(config_of(server, mode), {}, false);
      ASSERT_FALSE(db);
      EXPECT_EQ(db.error().code, Code::Invalid) << describe(db.error());
      EXPECT_THAT(db.error().message, HasSubstr("TLS"));
      EXPECT_THAT(server.told(), Not(HasSubstr(kPassword))) << plugin << static_cast<int>(mode);
      if (mode >= SslMode::Required) EXPECT_EQ(server.told(), "") << plugin;
    }
  }
}

// Somebody on the way who offers TLS in the greeting that is read first, and none in the next.
TEST(MysqlConnection, WhoseIdentityIsToBeVerifiedCannotTakeTlsBack) {
  FakeServer server(
      {greeting("caching_sha2_password", true), greeting("caching_sha2_password", false)});
  const auto db = Connection::open(config_of(server, SslMode::VerifyIdentity), {}, false);
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, Code::Invalid) << describe(db.error());
  EXPECT_EQ(server.told(), "");
}

TEST(MysqlConnection, AServerThatTakesNobodyIsQuoted) {
  FakeServer server({"\xFF\x10\x04#08004Too many connections"});
  const auto db = Connection::open(config_of(server, SslMode::Required), {}, false);
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, Code::Unavailable);
  EXPECT_THAT(db.error().message, HasSubstr("Too many connections"));
}

TEST(MysqlConnection, AStopEndsTheWaitForAGreeting) {
  const UniqueFd silent(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(silent.get(), 1), 0);
  ASSERT_EQ(getsockname(silent.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
  std::stop_source stop;
  Result<Greeting> heard = fail(Code::Internal, "");
  std::jthread waits([&] {
    heard = read_greeting({.host = "127.0.0.1", .port = ntohs(at.sin_port)}, 600, stop.get_token());
  });
  stop.request_stop();
  waits.join();
  ASSERT_FALSE(heard);
  EXPECT_EQ(heard.error().code, Code::Cancelled);
}

TEST(MysqlGreeting, SaysWhetherTlsIsOffered) {
  EXPECT_TRUE(parse_greeting(greeting("mysql_native_password", true))->offers_tls);
  EXPECT_FALSE(parse_greeting(greeting("mysql_native_password", false))->offers_tls);
}

TEST(MysqlGreeting, WhatIsNoneIsRefusedAtEveryLength) {
  const std::string whole = greeting("mysql_native_password", true);
  for (std::size_t n = 0; n < 23; ++n) EXPECT_FALSE(parse_greeting(whole.substr(0, n))) << n;
  EXPECT_TRUE(parse_greeting(whole.substr(0, 23)));
  EXPECT_FALSE(parse_greeting("SSH-2.0-OpenSSH_9.2p1 and whatever else it may say"));
  EXPECT_FALSE(parse_greeting("\xFF\x10"));
  EXPECT_EQ(parse_greeting("\xFF\x10\x04#080")->why, "");
}

}  // namespace
}  // namespace tidegate::engine::mysql
