#pragma once
// The API over the memory store, a fake engine and a clock that stands still, called through the
// Router: no socket, no process.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/api/api.h"
#include "control/secrets/tokens.h"
#include "control/store/memory/memory_store.h"

namespace tidegate::api {

class ManualClock final : public Clock {
 public:
  Instant now() const override { return from_ms(ms); }
  BootInstant boot_now() const override { return BootInstant(Millis(ms)); }
  std::int64_t ms = 1'900'000'000'000;  // 2030-03-17T17:46:40Z
};

// Knows the connectors `file` (source), `sqlite` (both) and `vault` (source, with secrets).
class FakeEngine final : public Engine {
 public:
  FakeEngine();
  Result<std::shared_ptr<const boost::json::value>> spec() override;
  Result<boost::json::value> check(protocol::Endpoint endpoint, bool source) override;
  Result<boost::json::value> discover(protocol::Endpoint endpoint, bool source) override;

  std::optional<protocol::Endpoint> last;   // as it was handed over, with its secrets
  std::optional<Error> error;               // every method's answer, when set
  std::optional<boost::json::value> reply;  // of check() and discover(), when set

 private:
  std::shared_ptr<const boost::json::value> spec_;
};

struct Answer {
  int status = 0;
  boost::json::object body;
  std::string text;
  std::vector<http::Header> headers;

  const boost::json::value& data() const { return body.at("data"); }
  std::string at(std::string_view member) const;  // data().member as text
  std::string code() const;
  std::string error() const;
  // The fields of details, in order.
  std::vector<std::string> fields() const;
  std::string header(std::string_view name) const;
};

inline const std::string kDefault = "/api/workspaces/default";

class ApiTest : public ::testing::Test {
 protected:
  ApiTest();

  Answer call(http::Method method, std::string path, std::string body = {},
              std::vector<http::Header> headers = {},
              std::optional<std::string> token = std::nullopt);
  Answer get(std::string path) { return call(http::Method::Get, std::move(path)); }
  Answer post(std::string path, std::string body = {}, std::vector<http::Header> headers = {}) {
    return call(http::Method::Post, std::move(path), std::move(body), std::move(headers));
  }

  // A token with that role, limited to those workspaces.
  std::string make_token(model::Role role, std::vector<WorkspaceId> workspaces = {},
                         std::optional<Instant> expires = std::nullopt);
  std::string make_source(const std::string& name = "src");
  std::string make_destination(const std::string& name = "dst");
  // The minimal job over a fresh source and destination named after it, with more members.
  std::string job_body(const std::string& name, const std::string& more = "");
  std::string make_job(const std::string& name = "job", const std::string& more = "");

  ManualClock clock_;
  SeededRng rng_{7};
  std::shared_ptr<store::Store> store_ = store::make_memory_store(clock_);
  FakeEngine engine_;
  secrets::KeyRing keys_;
  std::unique_ptr<Api> api_;
  std::optional<http::Router> router_;
  std::string admin_;
  int made_ = 0;
};

}  // namespace tidegate::api
