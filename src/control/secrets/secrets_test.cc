#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "control/model/connection_json.h"
#include "control/secrets/config_seal.h"
#include "control/secrets/masker.h"
#include "control/secrets/tokens.h"

namespace tidegate::secrets {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string kKeyA(64, 'a'), kKeyB(64, 'b');
constexpr std::string_view kCanary = "canary-7f3a";

KeyRing ring(const std::string& text) { return KeyRing::from_text(text).value(); }

boost::json::object parse(std::string_view text) { return json::parse(text).value().as_object(); }

const boost::json::object kSpec = parse(R"({"type":"object","properties":{
  "path":{"type":"string"},"password":{"type":"string","secret":true},
  "tls":{"type":"object","properties":{"key":{"type":"string","secret":true}}},
  "hosts":{"type":"array","items":{"type":"object","properties":{"pin":{"type":"integer","secret":true}}}},
  "auth":{"oneOf":[{"properties":{"token":{"secret":true}}},{"properties":{"user":{"type":"string"}}}]}}})");
const boost::json::object kPlain =
    parse(R"({"path":"p","password":"canary-7f3a","tls":{"key":"canary-7f3a"},
  "hosts":[{"pin":1},{"pin":2}],"auth":{"token":"canary-7f3a"}})");

class Folder {
 public:
  Folder() {
    std::string t = (std::filesystem::temp_directory_path() / "tidegate-secrets-XXXXXX").string();
    path_ = mkdtemp(t.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

TEST(KeyRing, AcceptsHexAndBase64AndRefusesTheRest) {
  EXPECT_TRUE(KeyRing::from_text(kKeyA).has_value());
  EXPECT_TRUE(KeyRing::from_text(" " + kKeyA + " , " + kKeyB + "\n").has_value());
  EXPECT_TRUE(KeyRing::from_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").has_value());
  for (const std::string& bad : {std::string(), std::string("hunter22"), std::string(63, 'a'),
                                 kKeyA + ",", kKeyA + "," + kKeyA, std::string(64, 'z')}) {
    const auto r = KeyRing::from_text(bad);
    ASSERT_FALSE(r.has_value()) << bad;
    EXPECT_EQ(r.error().code, Code::Invalid);
    if (bad.size() > 5) EXPECT_THAT(r.error().message, Not(HasSubstr(bad)));
  }
}

TEST(KeyRing, OpensOnlyAtTheSamePlaceAndUndamaged) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  std::string sealed = keys.seal(kCanary, "here", rng);
  EXPECT_THAT(sealed, Not(HasSubstr(std::string(kCanary))));
  EXPECT_EQ(keys.open(sealed, "here")->reveal(), kCanary);
  EXPECT_FALSE(keys.open(sealed, "there").has_value());
  EXPECT_NE(keys.seal(kCanary, "here", rng), sealed) << "the nonce must differ each time";
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string damaged = sealed;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    // The last base64 character carries unused bits; libsodium refuses those too.
    EXPECT_FALSE(keys.open(damaged, "here").has_value()) << i;
    EXPECT_FALSE(keys.open(std::string_view(sealed).substr(0, i), "here").has_value()) << i;
  }
}

TEST(KeyRing, RotationOpensOldAndSealsNew) {
  SeededRng rng(1);
  const std::string old = ring(kKeyA).seal("x", "p", rng);
  const KeyRing both = ring(kKeyB + "," + kKeyA);
  EXPECT_EQ(both.open(old, "p")->reveal(), "x");
  EXPECT_FALSE(both.is_current(old));
  EXPECT_TRUE(both.is_current(both.seal("x", "p", rng)));
  const auto without = ring(kKeyB).open(old, "p");
  ASSERT_FALSE(without.has_value());
  EXPECT_THAT(without.error().message, HasSubstr(ring(kKeyA).key_ids()[0]));
}

TEST(KeyFile, IsMadeOncePrivateAndKept) {
  const Folder dir;
  SystemRng rng;
  const std::string path = dir / "key";
  const auto first = KeyRing::from_file(path, rng);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  struct stat st{};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(KeyRing::from_file(path, rng)->key_ids(), first->key_ids());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir / ""), {}), 1)
      << "a temporary file stays";

  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(KeyRing::from_file(path, rng).error().code, Code::Forbidden);
}

TEST(KeyFile, ErrorsNameTheFileAndNotItsText) {
  const Folder dir;
  SystemRng rng;
  EXPECT_THAT(KeyRing::from_file(dir / "no/such/key", rng).error().message,
              HasSubstr("no/such/key"));
  const std::string path = dir / "key";
  std::ofstream(path) << kCanary;
  chmod(path.c_str(), 0600);
  const auto r = KeyRing::from_file(path, rng);
  ASSERT_FALSE(r.has_value());
  EXPECT_THAT(r.error().message, HasSubstr(path));
  EXPECT_THAT(r.error().message, Not(HasSubstr(std::string(kCanary))));
}

TEST(Config, SecretsAtAnyDepthAreSealedAndComeBack) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  const ConnectionId id("c1");
  std::vector<FieldError> errors;
  const auto stored = seal_config(keys, rng, id, kSpec, kPlain, nullptr, errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_THAT(json::write(stored), Not(HasSubstr(std::string(kCanary))));
  EXPECT_EQ(stored.at("path").as_string(), "p");
  EXPECT_EQ(open_config(keys, id, stored).value(), kPlain);
  EXPECT_EQ(
      json::write(model::mask_config(stored)),
      R"({"path":"p","password":"***","tls":{"key":"***"},"hosts":[{"pin":"***"},{"pin":"***"}],"auth":{"token":"***"}})");
}

TEST(Config, ASealedValueCannotBeMovedToAnotherConnection) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  std::vector<FieldError> errors;
  const auto stored = seal_config(keys, rng, ConnectionId("c1"), kSpec, kPlain, nullptr, errors);
  const auto r = open_config(keys, ConnectionId("c2"), stored);
  ASSERT_FALSE(r.has_value());
  EXPECT_THAT(r.error().message, HasSubstr("config.password"));
}

TEST(Config, MaskKeepsTheStoredSecret) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  const ConnectionId id("c1");
  std::vector<FieldError> errors;
  const auto stored = seal_config(keys, rng, id, kSpec, kPlain, nullptr, errors);
  const auto again = seal_config(keys, rng, id, kSpec, model::mask_config(stored), &stored, errors);
  EXPECT_THAT(errors, IsEmpty());
  EXPECT_EQ(open_config(keys, id, again).value(), kPlain);

  seal_config(keys, rng, id, kSpec, parse(R"({"password":"***","tls":{"key":"***"}})"), nullptr,
              errors);
  ASSERT_THAT(errors, SizeIs(2));
  EXPECT_EQ(errors[0].field, "config.password");
  EXPECT_EQ(errors[1].field, "config.tls.key");
}

// A client that writes {"$sealed": …} itself must not smuggle in a ciphertext of another place.
TEST(Config, APlainValueThatLooksSealedIsSealedAgain) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  const ConnectionId id("c1");
  std::vector<FieldError> errors;
  const auto plain = parse(R"({"password":{"$sealed":"v1.x"}})");
  const auto stored = seal_config(keys, rng, id, kSpec, plain, nullptr, errors);
  EXPECT_EQ(open_config(keys, id, stored).value(), plain);
}

TEST(Config, RotationSealsWithTheFirstKey) {
  SeededRng rng(1);
  const ConnectionId id("c1");
  std::vector<FieldError> errors;
  auto stored = seal_config(ring(kKeyA), rng, id, kSpec, kPlain, nullptr, errors);
  const KeyRing both = ring(kKeyB + "," + kKeyA);
  EXPECT_TRUE(rotate_config(both, rng, id, stored).value());
  EXPECT_FALSE(rotate_config(both, rng, id, stored).value());
  EXPECT_EQ(open_config(ring(kKeyB), id, stored).value(), kPlain);
}

TEST(Endpoint, IsThePlainConfiguration) {
  SeededRng rng(1);
  const KeyRing keys = ring(kKeyA);
  model::Connection c;
  c.id = ConnectionId("c1");
  c.type = "sqlite";
  std::vector<FieldError> errors;
  c.config = seal_config(keys, rng, c.id, kSpec, kPlain, nullptr, errors);
  const auto e = EndpointResolver(keys).open(c).value();
  EXPECT_EQ(e.type, "sqlite");
  EXPECT_EQ(e.config, kPlain);
}

TEST(Token, HasTheEntropyAndTheHash) {
  SystemRng rng;
  const Secret a = new_token(rng), b = new_token(rng);
  EXPECT_NE(a, b);
  EXPECT_THAT(std::string(a.reveal()), ::testing::MatchesRegex("tg_[A-Za-z0-9_-]{43}"));
  // FIPS 180-4's example.
  EXPECT_EQ(hash_token("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Masker, FindsSealedMembersAtAnyDepth) {
  Masker masker;
  const boost::json::object sealed{{"$sealed", "v1.x"}};
  masker.add({{"user", "ann"},
              {"password", sealed},
              {"tls", {{"key", sealed}, {"verify", true}}},
              {"headers", boost::json::array{sealed, "plain"}},
              {"code", sealed},
              {"pin", sealed}},
             {{"user", "ann"},
              {"password", "hunter22"},
              {"tls", {{"key", "BEGIN\nhunter22secret\nEND-OF-KEY"}, {"verify", true}}},
              {"headers", boost::json::array{"X-Token: 1234567", "plain"}},
              {"code", 123987},
              {"pin", "12"}});
  std::string text = "ann hunter22 hunter22secret plain X-Token: 1234567 12 END-OF-KEY 123987";
  masker.mask(text);
  EXPECT_EQ(text, "ann *** *** plain *** 12 *** ***");
  // A driver that makes a URL of its parts quotes them so.
  masker.add(boost::json::object{{"password", sealed}},
             boost::json::object{{"password", "p@ss word"}});
  text = "mongodb://ann:p%40ss%20word@h failed";
  masker.mask(text);
  EXPECT_EQ(text, "mongodb://ann:***@h failed");
  auto reply = json::parse(R"({"tables":["a",{"note":"is hunter22"}],"n":1})").value();
  masker.mask(reply);
  EXPECT_EQ(json::write(reply), R"({"tables":["a",{"note":"is ***"}],"n":1})");
}

}  // namespace
}  // namespace tidegate::secrets
