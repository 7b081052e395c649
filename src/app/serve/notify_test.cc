// What a service manager hears, over a socket like its own.
#include "app/serve/notify.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace tidegate::app {
namespace {

using ::testing::MatchesRegex;

class Notify : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
    std::string pattern = testing::TempDir() + "/notifyXXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/socket";
    const std::string bound = GetParam() ? '\0' + path_ : path_;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    bound.copy(address.sun_path, bound.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bound.size());
    manager_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(manager_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", (GetParam() ? "@" + path_ : path_).c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("NOTIFY_SOCKET");
    std::filesystem::remove_all(folder_);
  }

  // "": nothing was said.
  std::string heard() const {
    char text[4096];
    const ssize_t n = ::recv(manager_.get(), text, sizeof text, MSG_DONTWAIT);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : "";
  }

  std::string folder_, path_;
  UniqueFd manager_;
};
INSTANTIATE_TEST_SUITE_P(, Notify, testing::Bool(), [](const auto& abstract) {
  return abstract.param ? "AbstractName" : "Path";
});

TEST_P(Notify, TheLifeOfAServer) {
  Notifier notifier = Notifier::from_environment();
  ASSERT_TRUE(notifier.listening());
  notifier.starting("waiting for the store", Millis(90'000));
  EXPECT_EQ(heard(), "STATUS=waiting for the store\nEXTEND_TIMEOUT_USEC=90000000");
  notifier.ready("http://127.0.0.1:8080");
  EXPECT_EQ(heard(), "READY=1\nSTATUS=http://127.0.0.1:8080");
  notifier.alive();
  EXPECT_EQ(heard(), "WATCHDOG=1");
  notifier.reloading();
  EXPECT_THAT(heard(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+"));
  notifier.stopping("runs end", Millis(55'000));
  EXPECT_EQ(heard(), "STOPPING=1\nSTATUS=runs end\nEXTEND_TIMEOUT_USEC=55000000");
}

TEST_P(Notify, AStatusIsOneLine) {
  Notifier::from_environment().ready("a\nREADY=0\nb");
  EXPECT_EQ(heard(), "READY=1\nSTATUS=a READY=0 b");
}

TEST_P(Notify, TheVariablesAreGoneAfterwards) {
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", fmt::format("{}", ::getpid()).c_str(), 1);
  EXPECT_EQ(Notifier::from_environment().watchdog_interval(), Millis(15'000));
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
    EXPECT_EQ(std::getenv(name), nullptr) << name;
}

TEST_P(Notify, TheWatchdogOfAnotherProcessIsNotOurs) {
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  const Notifier notifier = Notifier::from_environment();
  EXPECT_TRUE(notifier.listening());
  EXPECT_FALSE(notifier.watchdog_interval());
}

TEST_P(Notify, WithoutAWatchdogNothingIsDue) {
  for (const char* wrong : {"0", "-1", "soon", "30s", ""}) {
    ::setenv("NOTIFY_SOCKET", (GetParam() ? "@" + path_ : path_).c_str(), 1);
    ::setenv("WATCHDOG_USEC", wrong, 1);
    EXPECT_FALSE(Notifier::from_environment().watchdog_interval()) << wrong;
  }
}

TEST_P(Notify, NobodyThereIsNoError) {
  manager_.reset();
  std::filesystem::remove(path_);
  Notifier notifier = Notifier::from_environment();
  EXPECT_FALSE(notifier.listening());
  notifier.ready("unheard");
}

TEST_P(Notify, AManagerThatLeftIsNoError) {
  Notifier notifier = Notifier::from_environment();
  manager_.reset();
  notifier.ready("unheard");
  notifier.alive();
}

TEST(NotifyAddress, OtherAddressesSayNothing) {
  for (const std::string& name : {std::string(), std::string("relative"), std::string("/"),
                                  std::string("@"), "/" + std::string(200, 'a')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    EXPECT_FALSE(Notifier::from_environment().listening()) << name;
    EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  }
}

}  // namespace
}  // namespace tidegate::app
