// What opening the store does to a database, and what a wrong one gets.
#include <gmock/gmock.h>

#include <future>
#include <tuple>

#include "control/store/postgres/pg_test_fixture.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The server's URL with another user, password or database.
std::string url_with(const std::string& user, const std::string& password,
                     const std::string& database = "tidegate") {
  const std::string url = server_url();
  const auto host = url.substr(url.find('@') + 1);
  return "postgres://" + user + ":" + password + "@" + host.substr(0, host.find('/')) + "/" +
         database;
}

class PostgresOpen : public testing::Test {
 protected:
  Result<std::unique_ptr<Store>> open(const std::string& url) {
    return open_postgres_store({.url = Secret(url), .connect_timeout = Millis(5'000)}, rng_);
  }
  // The message of the refusal, which never shows a password.
  std::string refusal(const std::string& url, Code code, const std::string& reason) {
    const auto opened = open(url);
    EXPECT_EQ(code_of(opened), code);
    if (opened) return "";
    EXPECT_EQ(opened.error().reason, reason) << opened.error().message;
    EXPECT_THAT(opened.error().message, Not(HasSubstr("s3cret")));
    EXPECT_THAT(opened.error().message, Not(HasSubstr("tidegate-test")));
    return opened.error().message;
  }
  std::string tables() {
    return schema_.console.ask(
        "SELECT count(*)::text FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN "
        "('r', 'v')",
        schema_.name());
  }
  // A role that may log in and no more.
  std::string make_role() {
    const std::string role = "r" + schema_.name();
    schema_.console.run("CREATE ROLE " + role + " LOGIN PASSWORD 's3cret'");
    roles_.push_back(role);
    return role;
  }
  void TearDown() override {
    for (const auto& role : roles_) {
      schema_.console.run("DROP OWNED BY " + role + "; DROP ROLE " + role);
    }
  }

  ScratchSchema schema_;
  SystemRng rng_;
  std::vector<std::string> roles_;
};

TEST_F(PostgresOpen, AFreshSchemaIsMigratedOnceAndHoldsTheDefaultWorkspace) {
  const auto store = must(schema_.open());
  EXPECT_EQ(must(store->list_workspaces()).at(0).name, "default");
  EXPECT_EQ(tables(), "21");
  must(store->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  const auto again = must(schema_.open());
  EXPECT_EQ(must(again->list_workspaces()).size(), 2u);
  EXPECT_EQ(
      schema_.console.ask("SELECT count(*)::text FROM " + schema_.name() + ".schema_migrations"),
      "5");
  EXPECT_EQ(
      schema_.console.ask("SELECT count(*)::text FROM pg_class WHERE relname = 'sync_runs' AND "
                          "relnamespace = 'public'::regnamespace"),
      "0");
}

// What two writers at once must not both get is refused by the server, whatever they have read.
TEST_F(PostgresOpen, WhatMustBeUniqueIsSoInTheServer) {
  must(schema_.open());
  Console console(schema_.url());
  // Two rows that differ in $n only; the second one is refused, or taken.
  const auto twice = [&](const std::string& table, const std::string& values) {
    const auto row = [&](const std::string& n) {
      std::string sql = values;
      for (auto at = sql.find("$n"); at != std::string::npos; at = sql.find("$n")) {
        sql.replace(at, 2, n);
      }
      return "INSERT INTO " + table + " VALUES (" + sql + "); ";
    };
    const std::string sql = "DO $$ BEGIN " + row("1") + row("2") +
                            "RAISE 'both'; EXCEPTION WHEN unique_violation THEN NULL; END $$";
    try {
      console.run(sql);
      return false;
    } catch (const std::exception& e) {
      EXPECT_THAT(e.what(), HasSubstr("both"));
      return true;
    }
  };
  const auto run = [](const std::string& slot) {
    return "'r$n', 'w', 'j', 1, " + slot +
           ", '', '', 'queued', 0, 0, 0, now(), now(), NULL, NULL, '', 0, false, '', '', '', NULL, "
           "false, 's', 'd', now()";
  };
  EXPECT_FALSE(twice("sync_runs", run("'2026-01-01T00:00Z'"))) << "one run of a slot";
  EXPECT_TRUE(twice("sync_runs", run("NULL"))) << "runs without a slot are many";
  const std::string lock = "'r$n', 'j', 'w', 1, now(), now(), ";
  EXPECT_FALSE(twice("job_execution_locks", lock + "'', false, false")) << "one run of a job";
  EXPECT_TRUE(twice("job_execution_locks", lock + "'', true, false")) << "any with overlap: allow";
  EXPECT_FALSE(twice("job_execution_locks", lock + "'key', true, false")) << "one of a key";
  EXPECT_FALSE(twice("workspaces", "'w$n', 'same', 1, now()"));
  EXPECT_FALSE(twice("api_tokens", "'t$n', 'n$n', 'hash', '', '[]', NULL, now(), '', 1"));
}

TEST_F(PostgresOpen, ServersThatStartTogetherMigrateOnce) {
  std::vector<std::future<bool>> starts;
  for (int i = 0; i < 6; ++i) {
    starts.push_back(std::async(std::launch::async, [&] {
      SystemRng rng;
      const auto store = open_postgres_store(schema_.options(), rng);
      EXPECT_TRUE(store) << describe(store.error());
      return store.has_value() && (*store)->list_workspaces()->size() == 1;
    }));
  }
  for (auto& s : starts) EXPECT_TRUE(s.get());
}

TEST_F(PostgresOpen, AStoreOfANewerVersionIsRefusedUntouched) {
  must(schema_.open());
  schema_.console.run("INSERT INTO " + schema_.name() +
                      ".schema_migrations VALUES (99, 'future', now())");
  EXPECT_THAT(refusal(schema_.url(), Code::Invalid, "schema_too_new"),
              AllOf(HasSubstr("version 99"), HasSubstr("newer tidegate"),
                    HasSubstr("Nothing was changed")));
}

TEST_F(PostgresOpen, TablesOfSomethingElseAreNamedAndLeftAlone) {
  schema_.console.run("CREATE TABLE " + schema_.name() +
                      ".schema_migrations (version varchar PRIMARY KEY); CREATE TABLE " +
                      schema_.name() + ".workers (id int)");
  EXPECT_THAT(refusal(schema_.url(), Code::Invalid, "not_a_store"),
              AllOf(HasSubstr("schema_migrations, workers"), HasSubstr("search_path")));
  EXPECT_EQ(tables(), "2");
}

TEST_F(PostgresOpen, OtherTablesBesideOursAreFine) {
  schema_.console.run("CREATE TABLE " + schema_.name() + ".orders (id int)");
  must(schema_.open());
  EXPECT_EQ(tables(), "22");
}

TEST_F(PostgresOpen, EachMissingPrivilegeIsNamed) {
  const std::string role = make_role(), mine = schema_.url(url_with(role, "s3cret"));
  EXPECT_THAT(refusal(mine, Code::Invalid, "store_privilege"),
              AllOf(HasSubstr("USAGE ON SCHEMA " + schema_.name()),
                    HasSubstr("CREATE ON SCHEMA " + schema_.name()), HasSubstr("GRANT")));
  EXPECT_EQ(tables(), "0");
  must(schema_.open());
  // Seen here: one GRANT after the other, each found by another start.
  EXPECT_THAT(refusal(mine, Code::Invalid, "store_privilege"),
              HasSubstr("; GRANT USAGE ON SCHEMA " + schema_.name() + " TO \"" + role +
                        "\"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " +
                        schema_.name() + " TO \"" + role + "\". Nothing was changed"));
  schema_.console.run("GRANT USAGE ON SCHEMA " + schema_.name() + " TO " + role +
                      "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " +
                      schema_.name() + " TO " + role + "; REVOKE DELETE ON " + schema_.name() +
                      ".run_queue FROM " + role + "; REVOKE INSERT ON " + schema_.name() +
                      ".run_logs FROM " + role);
  EXPECT_THAT(
      refusal(mine, Code::Invalid, "store_privilege"),
      AllOf(HasSubstr("INSERT ON run_logs, DELETE ON run_queue"), Not(HasSubstr("SCHEMA"))));
  schema_.console.run("GRANT DELETE ON " + schema_.name() + ".run_queue TO " + role +
                      "; GRANT INSERT ON " + schema_.name() + ".run_logs TO " + role);
  for (const char* view :
       {"slots", "data_sources", "destinations", "readable_runs", "readable_jobs"}) {
    schema_.console.run("REVOKE INSERT, UPDATE, DELETE ON " + schema_.name() + "." + view +
                        " FROM " + role);
  }
  const auto store = must(open(mine));
  EXPECT_TRUE(store->ping()) << "it may work without being the owner";
  // Seen here: a row locked through a view, for which the view's UPDATE is needed, too.
  EXPECT_EQ(code_of(store->set_pause({}, JobId("none"), {}, model::Pause{}, {})), Code::NotFound);
  EXPECT_EQ(code_of(store->delete_job({}, JobId("none"), {})), Code::NotFound);
  schema_.console.run("REVOKE SELECT ON " + schema_.name() + ".slots FROM " + role +
                      "; REVOKE EXECUTE ON FUNCTION " + schema_.name() +
                      ".tidegate_now() FROM PUBLIC");
  EXPECT_THAT(refusal(mine, Code::Invalid, "store_privilege"),
              HasSubstr("SELECT ON slots, EXECUTE ON FUNCTION tidegate_now()"));
}

TEST_F(PostgresOpen, AnUpgradeNeedsTheOwner) {
  const std::string role = make_role();
  must(schema_.open());
  schema_.console.run("DELETE FROM " + schema_.name() +
                      ".schema_migrations WHERE version >= 4; GRANT "
                      "USAGE, CREATE ON SCHEMA " +
                      schema_.name() + " TO " + role + "; GRANT ALL ON ALL TABLES IN SCHEMA " +
                      schema_.name() + " TO " + role);
  EXPECT_THAT(refusal(schema_.url(url_with(role, "s3cret")), Code::Invalid, "store_privilege"),
              AllOf(HasSubstr("OWNERSHIP OF sync_runs"), HasSubstr("as the user that owns"),
                    Not(HasSubstr("GRANT"))));
}

TEST_F(PostgresOpen, AWrongPasswordUserOrDatabaseIsSaidWithItsRemedy) {
  const std::string role = make_role();
  EXPECT_THAT(refusal(url_with(role, "wrong"), Code::Invalid, "store_refused"),
              AllOf(HasSubstr("127.0.0.1 port"), HasSubstr("database tidegate"), HasSubstr(role),
                    HasSubstr("password"), HasSubstr("pg_hba.conf")));
  EXPECT_THAT(refusal(url_with("nobody-here", "s3cret"), Code::Invalid, "store_refused"),
              HasSubstr("nobody-here"));
  EXPECT_THAT(refusal(url_with(role, "s3cret", "missing"), Code::Invalid, "store_refused"),
              HasSubstr("CREATE DATABASE \"missing\""));
}

TEST_F(PostgresOpen, AMissingSchemaIsSaidWithItsRemedy) {
  EXPECT_THAT(
      refusal(server_url() + "?options=-csearch_path%3Dnowhere", Code::Invalid, "store_schema"),
      AllOf(HasSubstr("nowhere"), HasSubstr("CREATE SCHEMA")));
}

TEST_F(PostgresOpen, AnUnreachableServerIsUnavailableAndNamed) {
  EXPECT_THAT(
      refusal("postgres://u:s3cret@127.0.0.1:1/shop", Code::Unavailable, "store_unavailable"),
      AllOf(HasSubstr("127.0.0.1 port 1, database shop"), HasSubstr("check that the server")));
}

TEST_F(PostgresOpen, OfSeveralHostsTheNextOneIsTried) {
  std::string url = schema_.url();
  const auto at = url.find('@') + 1;
  url.insert(at, "127.0.0.1:1,");
  EXPECT_TRUE(must(open(url))->ping());
}

TEST_F(PostgresOpen, AUrlThatIsNoneIsNotQuoted) {
  for (const char* url : {"postgres://u:s3cret%zz@host/db", "mysql://u:s3cret@host/db", "s3cret",
                          "postgres://u:s3cret@host:port/db?sslmod=disable"}) {
    EXPECT_THAT(refusal(url, Code::Invalid, "store_url"), HasSubstr("postgres://user"));
  }
  EXPECT_THAT(refusal("postgres://u:s3cret@h/db?sslmod=x", Code::Invalid, "store_url"),
              HasSubstr("\"sslmod\""));
  EXPECT_THAT(refusal("postgres://u:half/s?s3cret=x@h/db", Code::Invalid, "store_url"),
              Not(HasSubstr("half")))
      << "a password with a character that is not encoded";
}

// Seen here: a server waited for ever, with the advice to see whether PostgreSQL runs.
TEST_F(PostgresOpen, AWrongTlsSettingIsNamedAndNotWaitedFor) {
  for (const auto& [options, said, remedy] :
       {std::tuple{"sslmode=require", "does not support SSL", "sslmode"},
        {"sslmode=bogus", "\"bogus\"", "verify-full"},
        {"sslmode=require&sslrootcert=/nope.pem", "sslrootcert=/nope.pem", "can read"},
        {"sslmode=verify-full&sslrootcert=/nope.pem", "sslrootcert=/nope.pem", "can read"},
        {"target_session_attrs=bogus", "\"bogus\"", "this option"}}) {
    EXPECT_THAT(refusal(server_url() + "?" + options, Code::Invalid, "store_tls"),
                AllOf(HasSubstr(said), HasSubstr(remedy), Not(HasSubstr("check that the server"))));
  }
}

TEST(PostgresTarget, WhatLibpqSaysOfTlsIsInvalidAndTheRestUnavailable) {
  const auto target = must(postgres::Target::parse(Secret("postgres://u:s3cret@db/d")));
  for (const auto& [said, code, expected] :
       {std::tuple{"connection to server at \"db\" (::1), port 5432 failed: Connection refused\n"
                   "connection to server at \"db\" (10.0.0.1), port 5432 failed: SSL error: "
                   "certificate verify failed\n",
                   Code::Invalid, "10.0.0.1), port 5432 failed: SSL error"},
        {"root certificate file \"/root/.postgresql/root.crt\" does not exist\nEither provide",
         Code::Invalid, "by sslrootcert"},
        {"server certificate for \"other\" does not match host name \"db\"", Code::Invalid,
         "sslmode=verify-ca"},
        {"certificate file \"/c.pem\" does not exist", Code::Invalid, "sslcert"},
        {"Connection refused\n\tIs the server running on that host", Code::Unavailable,
         "check that the server runs"},
        {"SSL SYSCALL error: EOF detected", Code::Unavailable, "check that the server runs"},
        {"FATAL:  57P03: the database system is starting up, certificate file \"x\"",
         Code::Unavailable, "check that the server runs"}}) {
    const Error error = target.cannot_connect(said);
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_THAT(error.message, HasSubstr(expected));
  }
}

TEST_F(PostgresOpen, ADatabaseOfAnotherEncodingIsRefused) {
  const std::string name = "d" + schema_.name();
  schema_.console.run("CREATE DATABASE " + name +
                      " ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
  EXPECT_THAT(refusal(url_with("tidegate", "tidegate-test", name), Code::Invalid, "store_encoding"),
              HasSubstr("UTF8"));
  schema_.console.run("DROP DATABASE " + name);
}

}  // namespace
}  // namespace tidegate::store
