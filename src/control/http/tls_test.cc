// HTTPS on loopback with a certificate made here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "control/http/server.h"
#include "control/http/test_client.h"

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string dir = (std::filesystem::temp_directory_path() / "tidegate-tls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(dir.data()), nullptr);
    dir_ = dir;
    write_pair(1);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // A new key, and a certificate with that serial number.
  void write_pair(int serial) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_sign(cert, key, EVP_sha256());
    std::FILE* f = std::fopen(cert_file().c_str(), "w");
    PEM_write_X509(f, cert);
    std::fclose(f);
    f = std::fopen(key_file().c_str(), "w");
    PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
  }

  std::string cert_file() const { return dir_ / "cert.pem"; }
  std::string key_file() const { return dir_ / "key.pem"; }
  ServerOptions options() const {
    return {.tls_cert_file = cert_file(), .tls_key_file = key_file()};
  }

  std::filesystem::path dir_;
};

// A TLS session over a Client's socket.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, int version = TLS1_3_VERSION)
      : tcp_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(nullptr) {
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, tcp_.fd());
    connected_ = SSL_connect(ssl_) == 1;
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }

  bool connected() const { return connected_; }
  // The serial number of the server's certificate; -1: none came.
  long serial() const {
    X509* cert = SSL_get0_peer_certificate(ssl_);
    return cert != nullptr ? ASN1_INTEGER_get(X509_get0_serialNumber(cert)) : -1;
  }
  void send(std::string_view bytes) {
    SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  }
  // Until `mark` has come, or the end.
  std::string read_until(std::string_view mark) {
    std::string all;
    char bytes[4096];
    int n = 1;
    while (!all.ends_with(mark) && (n = SSL_read(ssl_, bytes, sizeof bytes)) > 0) {
      all.append(bytes, static_cast<std::size_t>(n));
    }
    return all;
  }
  // The server ended with close_notify: nothing was cut off by somebody in between.
  bool closed_by_server() {
    char byte;
    const int n = SSL_read(ssl_, &byte, 1);
    return n == 0 && SSL_get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN;
  }

 private:
  Client tcp_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

TEST_F(TlsTest, Answers) {
  TestServer s(options());
  EXPECT_THAT(s.server->url(), ::testing::StartsWith("https://127.0.0.1:"));
  TlsClient c(s.port());
  ASSERT_TRUE(c.connected());
  c.send(get("/inline"));
  EXPECT_THAT(c.read_until("[]"), HasSubstr("200 OK"));
  c.send(post("/pool", "hello", "Connection: close\r\n"));
  EXPECT_THAT(c.read_until("[hello]"), HasSubstr("200 OK"));
  EXPECT_TRUE(c.closed_by_server());
}

TEST_F(TlsTest, LargeAnswer) {
  const std::string large = std::string(3 << 20, 'x') + "end";
  TestServer s(options(), {{Method::Get, "/large", [&](const Request&) -> Result<Response> {
                              return Response{.body = large};
                            }}});
  TlsClient c(s.port());
  c.send(get("/large"));
  EXPECT_THAT(c.read_until("end").size(), ::testing::Gt(large.size()));
}

TEST_F(TlsTest, StreamsEvents) {
  class Two final : public EventSource {
    std::optional<std::string> pull() override {
      if (++n_ > 2) return std::nullopt;
      return "data: " + std::to_string(n_) + "\n\n";
    }
    int n_ = 0;
  };
  TestServer s(options(), {{Method::Get, "/events", [](const Request&) -> Result<Response> {
                              return Response{.events = std::make_unique<Two>()};
                            }}});
  TlsClient c(s.port());
  c.send(get("/events"));
  const std::string all = c.read_until("0\r\n\r\n");
  EXPECT_THAT(all, HasSubstr("data: 1\n\n"));
  EXPECT_THAT(all, HasSubstr("data: 2\n\n"));
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  TestServer s(options());
  EXPECT_TRUE(TlsClient(s.port(), TLS1_2_VERSION).connected());
  EXPECT_FALSE(TlsClient(s.port(), TLS1_1_VERSION).connected());
}

TEST_F(TlsTest, PlainTextIsClosed) {
  TestServer s(options());
  Client c(s.port());
  c.send(get("/inline"));
  EXPECT_THAT(c.read_to_end(), ::testing::Not(HasSubstr("200")));
  EXPECT_TRUE(TlsClient(s.port()).connected());
}

TEST_F(TlsTest, StalledHandshakeIsCutOff) {
  ServerOptions o = options();
  o.header_timeout = Millis(20);
  TestServer s(o);
  Client c(s.port());
  EXPECT_TRUE(c.closed_by_server());
}

TEST_F(TlsTest, RenewedFilesAreForNewConnections) {
  TestServer s(options());
  TlsClient before(s.port());
  EXPECT_EQ(before.serial(), 1);
  write_pair(2);
  EXPECT_EQ(TlsClient(s.port()).serial(), 1) << "nobody has asked yet";
  ASSERT_TRUE(s.server->reload_tls());
  EXPECT_EQ(TlsClient(s.port()).serial(), 2);
  before.send(get("/inline"));
  EXPECT_THAT(before.read_until("[]"), HasSubstr("200 OK"));
}

TEST_F(TlsTest, FilesThatCannotBeUsedChangeNothing) {
  TestServer s(options());
  std::filesystem::rename(cert_file(), dir_ / "old.pem");
  write_pair(2);
  std::filesystem::rename(dir_ / "old.pem", cert_file());  // half of a renewal: another's key
  const Status mixed = s.server->reload_tls();
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code, Code::Invalid);
  EXPECT_THAT(mixed.error().message, HasSubstr(key_file()));
  std::filesystem::remove(cert_file());
  EXPECT_FALSE(s.server->reload_tls());
  EXPECT_EQ(TlsClient(s.port()).serial(), 1);
}

TEST_F(TlsTest, WithoutTlsThereIsNothingToReadAgain) {
  TestServer s({});
  EXPECT_TRUE(s.server->reload_tls());
  Client c(s.port());
  c.send(get("/inline"));
  EXPECT_EQ(c.read().status, 200);
}

TEST_F(TlsTest, BadFilesNameTheFileAndTheRemedy) {
  SystemClock clock;
  SeededRng rng(1);
  std::ofstream(dir_ / "bad.pem") << "not a key";
  const std::string bad = dir_ / "bad.pem", none = dir_ / "none.pem";
  const struct {
    std::string cert, key, named;
  } kCases[] = {{cert_file(), "", "both"}, {"", key_file(), "both"},  {none, key_file(), none},
                {bad, key_file(), bad},    {cert_file(), none, none}, {cert_file(), bad, bad}};
  for (const auto& c : kCases) {
    Server server({.listen = "127.0.0.1:0", .tls_cert_file = c.cert, .tls_key_file = c.key},
                  make_router(echo_routes()), clock, rng);
    const auto status = server.start();
    ASSERT_FALSE(status) << c.named;
    EXPECT_EQ(status.error().code, Code::Invalid);
    EXPECT_THAT(status.error().message, HasSubstr(c.named));
  }
}

}  // namespace
}  // namespace tidegate::http
