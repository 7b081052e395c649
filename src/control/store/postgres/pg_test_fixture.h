#pragma once
// A schema of its own on the server that tools/with_postgres starts, and somebody at its console.

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/rng.h"
#include "control/store/contract/contract.h"
#include "control/store/postgres/postgres_store.h"
#include "control/store/postgres/session.h"

namespace tidegate::store {

inline std::string server_url() {
  const char* url = std::getenv("TIDEGATE_TEST_POSTGRES");
  if (url == nullptr) {
    throw std::runtime_error(
        "TIDEGATE_TEST_POSTGRES is not set: run this beneath tools/with_postgres (it needs apt-get "
        "install -y postgresql-15)");
  }
  return url;
}

// A connection that does what an operator, or another program, may do.
class Console {
 public:
  explicit Console(const std::string& url = server_url(), postgres::Timeouts timeouts = {})
      : target_(contract::must(postgres::Target::parse(
            Secret(url + (url.contains('?') ? "&" : "?") + "application_name=console")))),
        db_(contract::must(postgres::Session::open(target_, timeouts, ""))) {}
  void run(const std::string& sql) { contract::must(db_.script(sql)); }
  template <class... Args>
  std::string ask(std::string sql, const Args&... args) {
    const auto rows = contract::must(db_.exec(std::move(sql), args...));
    return rows.empty() ? std::string() : rows.front().text(0);
  }
  std::string plan_of(postgres::Query query) {
    query.sql.insert(0, "EXPLAIN (FORMAT JSON) ");
    return contract::must(db_.run({std::move(query)}))[0].front().text(0);
  }
  // Asks until the answer is "yes"; false after 20 s.
  bool eventually(const std::string& condition) {
    const auto deadline = std::chrono::steady_clock::now() + Seconds(20);
    const std::string sql =
        "SELECT CASE WHEN " + condition + " THEN 'yes' ELSE pg_sleep(0.002)::text END";
    while (std::chrono::steady_clock::now() < deadline) {
      if (ask(sql) == "yes") return true;
    }
    return false;
  }

 private:
  postgres::Target target_;
  postgres::Session db_;
};

// Empty, dropped at the end.
class ScratchSchema {
 public:
  ScratchSchema() {
    static int last = 0;
    name_ = "s" + std::to_string(getpid()) + "_" + std::to_string(++last);
    console.run("CREATE SCHEMA " + name_);
  }
  ~ScratchSchema() { (void)console.run("DROP SCHEMA " + name_ + " CASCADE"); }
  const std::string& name() const { return name_; }
  std::string url(const std::string& base = server_url()) const {
    return base + "?options=-csearch_path%3D" + name_;
  }
  PostgresOptions options() const { return {.url = Secret(url())}; }
  Result<std::unique_ptr<Store>> open() { return open_postgres_store(options(), rng_); }

  Console console;

 private:
  std::string name_;
  SystemRng rng_;
};

}  // namespace tidegate::store
