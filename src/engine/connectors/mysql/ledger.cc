#include "engine/connectors/mysql/ledger.h"

#include <fmt/format.h>

#include <utility>

#include "base/ids.h"
#include "base/json.h"
#include "base/utf8.h"
#include "protocol/fields.h"

namespace tidegate::engine::mysql {
namespace {

// {0}: the collation that compares letter by letter. 255 + 500 characters are what a key can have.
constexpr const char* kTables[] = {
    "_tidegate_meta (name varchar(100) NOT NULL PRIMARY KEY, value varchar(1000) NOT NULL)",
    "_tidegate_state (job varchar(255) NOT NULL, entity varchar(500) NOT NULL, fence bigint NOT "
    "NULL, epoch bigint NOT NULL DEFAULT 0, sequence bigint NOT NULL DEFAULT 0, state longtext NOT "
    "NULL, session varchar(200) NOT NULL DEFAULT '', updated_at datetime(6) NOT NULL, PRIMARY KEY "
    "(job, entity))",
    "_tidegate_tables (table_name varchar(64) NOT NULL PRIMARY KEY, job varchar(255) NOT NULL, "
    "entity varchar(500) NOT NULL, own_key longtext NOT NULL, since datetime(6) NOT NULL)",
    "_tidegate_rejected (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, job varchar(255) NOT NULL, "
    "entity varchar(500) NOT NULL, run_id varchar(255) NOT NULL, attempt bigint NOT NULL, locator "
    "longtext NOT NULL, reason longtext NOT NULL, `row` longtext NOT NULL, rejected_at datetime(6) "
    "NOT NULL, KEY (job, entity))"};
constexpr const char* kSessionLock = "tidegate ";
// What a session that was killed needs for undoing its work.
constexpr int kEndTries = 300;

std::string number_of(const std::string& session) { return session.substr(0, session.find(' ')); }
std::string lock_of(const std::string& session) {
  return kSessionLock + session.substr(session.find(' ') + 1);
}

}  // namespace

Result<std::string> begin_session(Connection& db, const Clock& clock, Rng& rng) {
  const std::string id = new_uuid_v7(clock, rng);
  TG_TRY(const Rows held, db.query(fmt::format("SELECT GET_LOCK({}, 0), CONNECTION_ID()",
                                               db.literal(kSessionLock + id))));
  if (!held.flag(0, 0)) {
    return fail(Code::Unsupported,
                "the server gives no lock (GET_LOCK), by which a writer that is gone is known");
  }
  return fmt::format("{} {}", held.text(0, 1), id);
}

std::string Ledger::of(const Claim& claim) const {
  return fmt::format("job = {} AND entity = {}", db_.literal(claim.job), db_.literal(claim.entity));
}

std::string Ledger::mine(const Claim& claim) const {
  return fmt::format("{} AND fence = {} AND session = {}", of(claim), claim.fence,
                     db_.literal(claim.session));
}

Result<bool> Ledger::exists() {
  TG_TRY(const Rows found,
         db_.query("SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                   "AND TABLE_NAME IN ('_tidegate_meta', '_tidegate_state', '_tidegate_tables', "
                   "'_tidegate_rejected')"));
  return found.integer(0, 0) == 4;
}

Result<std::string> Ledger::destination_id() {
  TG_TRY(const bool there, exists());
  if (!there) return std::string();
  TG_TRY(const Rows id,
         db_.query("SELECT value FROM _tidegate_meta WHERE name = 'destination_id'"));
  return id.size() == 0 ? std::string() : id.text(0, 0);
}

Result<std::optional<StoredState>> Ledger::read(const std::string& job, const std::string& entity) {
  TG_TRY(const bool there, exists());
  if (!there) return std::nullopt;
  TG_TRY(const Rows r, db_.query(fmt::format("SELECT fence, epoch, sequence, state, session FROM "
                                             "_tidegate_state WHERE job = {} AND entity = {}",
                                             db_.literal(job), db_.literal(entity))));
  if (r.size() == 0) return std::nullopt;
  return StoredState{r.integer(0, 0), r.integer(0, 1), r.integer(0, 2), r.text(0, 3), r.text(0, 4)};
}

Status Ledger::check_owner(const Claim& claim, bool take_over) {
  TG_TRY(const bool there, exists());
  if (there) {
    TG_TRY(const Rows owner,
           db_.query(fmt::format("SELECT job, entity FROM _tidegate_tables WHERE table_name = {}",
                                 db_.literal(claim.table))));
    if (owner.size() > 0) {
      if ((owner.text(0, 0) == claim.job && owner.text(0, 1) == claim.entity) || take_over)
        return {};
      return fail(table_owned(claim, owner.text(0, 0), owner.text(0, 1)));
    }
  }
  if (take_over) return {};
  TG_TRY(const Rows found,
         db_.query(fmt::format("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                               "DATABASE() AND TABLE_NAME = {} AND TABLE_TYPE <> 'VIEW'",
                               db_.literal(claim.table))));
  if (found.size() == 0) return {};
  TG_TRY(const Rows rows,
         db_.query(fmt::format("SELECT EXISTS (SELECT 1 FROM {})", db_.identifier(claim.table))));
  if (!rows.flag(0, 0)) return {};
  return fail(table_foreign(claim));
}

Result<std::vector<std::vector<std::string>>> Ledger::own_keys(const std::string& table) {
  std::vector<std::vector<std::string>> keys;
  TG_TRY(const bool there, exists());
  if (!there) return keys;
  TG_TRY(const Rows noted,
         db_.query(fmt::format("SELECT own_key FROM _tidegate_tables WHERE table_name = {}",
                               db_.literal(table))));
  if (noted.size() == 0) return keys;
  // One key in a line.
  const std::string lines = noted.text(0, 0);
  for (std::string_view rest = lines; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    TG_TRY(const json::value list, json::parse(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!list.is_array()) continue;
    auto& key = keys.emplace_back();
    for (const auto& name : list.get_array()) {
      if (name.is_string()) key.emplace_back(name.get_string());
    }
  }
  return keys;
}

// ---- sessions

Result<bool> Ledger::ended(const std::string& session) {
  TG_TRY(const Rows holder,
         db_.query(fmt::format("SELECT IS_USED_LOCK({})", db_.literal(lock_of(session)))));
  return holder.null(0, 0);
}

Status Ledger::end(const std::string& session) {
  const Status killed = db_.exec("KILL CONNECTION " + number_of(session));
  if (!killed && killed.error().code == Code::Unavailable) return killed;
  for (int i = 0; i < kEndTries; ++i) {
    TG_TRY(const bool gone, ended(session));
    if (gone) return {};
    // Neither gone nor to be ended by this user.
    if (!killed && killed.error().code == Code::Invalid && i > 10) {
      return fail(Code::Forbidden,
                  fmt::format("an older attempt's connection {} still holds the destination and "
                              "may not be ended: {}; GRANT CONNECTION ADMIN (MySQL: "
                              "CONNECTION_ADMIN) ON *.* to the user, or KILL it",
                              number_of(session), killed.error().message));
    }
    TG_CHECK(db_.exec("DO SLEEP(0.1)"));
  }
  return fail(Code::Unavailable,
              fmt::format("an older attempt's connection {} was ended and is still undoing its "
                          "work; try again later",
                          number_of(session)));
}

Status Ledger::end_older_session(const StoredState& stored, std::int64_t fence, bool serverless,
                                 const Context& context) {
  if (stored.session.find(' ') == std::string::npos) return {};
  TG_TRY(const bool gone, ended(stored.session));
  if (gone) return {};
  if (serverless) {
    return fail(Code::Unavailable,
                fmt::format("another process (connection {} of MySQL) is syncing the same entity "
                            "into this database; wait until it has finished, or end it",
                            number_of(stored.session)));
  }
  if (stored.fence >= fence) return {};
  context.log(LogLevel::Warn,
              fmt::format("connection {} of an older attempt still held the destination and was "
                          "ended",
                          number_of(stored.session)));
  return end(stored.session);
}

Status Ledger::end_owner_session(const Claim& claim, const Context& context) {
  TG_TRY(const bool there, exists());
  if (!there) return {};
  TG_TRY(const Rows owner,
         db_.query(fmt::format("SELECT s.session FROM _tidegate_tables t JOIN _tidegate_state s ON "
                               "s.job = t.job AND s.entity = t.entity WHERE t.table_name = {} AND "
                               "NOT (t.job = {} AND t.entity = {})",
                               db_.literal(claim.table), db_.literal(claim.job),
                               db_.literal(claim.entity))));
  if (owner.size() == 0) return {};
  const std::string session = owner.text(0, 0);
  if (session.find(' ') == std::string::npos) return {};
  TG_TRY(const bool gone, ended(session));
  if (gone) return {};
  context.log(LogLevel::Warn,
              fmt::format("connection {} of the job whose table is taken over was ended",
                          number_of(session)));
  return end(session);
}

// ---- writing

Status Ledger::create_tables(const Clock& clock, Rng& rng) {
  // Whoever made the tables may have been ended before it gave the id.
  TG_TRY(const std::string id, destination_id());
  if (!id.empty()) return {};
  for (const char* table : kTables) {
    TG_CHECK(
        db_.exec(fmt::format("CREATE TABLE IF NOT EXISTS {} ENGINE = InnoDB CHARACTER SET "
                             "utf8mb4 COLLATE {} ROW_FORMAT = DYNAMIC",
                             table, db_.exact_collation())));
  }
  return db_.exec(
      fmt::format("INSERT INTO _tidegate_meta VALUES ('destination_id', {}) ON "
                  "DUPLICATE KEY UPDATE value = value",
                  db_.literal(new_uuid_v7(clock, rng))));
}

Status Ledger::claim(const Claim& claim, const Context& context) {
  TG_CHECK(db_.exec(fmt::format(
      "INSERT INTO _tidegate_state (job, entity, fence, state, updated_at) VALUES ({}, {}, 0, '', "
      "UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE fence = fence",
      db_.literal(claim.job), db_.literal(claim.entity))));
  TG_TRY(const Rows taken,
         db_.query(fmt::format("UPDATE _tidegate_state SET fence = {0}, session = {1}, updated_at "
                               "= UTC_TIMESTAMP(6) WHERE {2} AND fence <= {0}",
                               claim.fence, db_.literal(claim.session), of(claim))));
  if (taken.changed() == 1) return {};
  TG_TRY(
      const Rows newer,
      db_.query(fmt::format("SELECT fence FROM _tidegate_state WHERE {} FOR UPDATE", of(claim))));
  if (newer.size() > 0) context.fence_found(Fence{newer.integer(0, 0)});
  return fail(fenced(claim));
}

// Met rows count, also when the clock has not moved since.
Status Ledger::lock_fence(const Claim& claim) {
  TG_TRY(const Rows locked, db_.query(fmt::format("UPDATE _tidegate_state SET updated_at = "
                                                  "UTC_TIMESTAMP(6) WHERE {}",
                                                  mine(claim))));
  if (locked.changed() == 1) return {};
  return fail(fenced(claim));
}

Status Ledger::own_table(const Claim& claim, bool take_over) {
  const std::string table = db_.literal(claim.table);
  TG_CHECK(db_.exec(
      fmt::format("INSERT INTO _tidegate_tables (table_name, job, entity, own_key, since) VALUES "
                  "({}, {}, {}, '', UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE job = job",
                  table, db_.literal(claim.job), db_.literal(claim.entity))));
  TG_TRY(const Rows owner,
         db_.query(fmt::format("SELECT job, entity FROM _tidegate_tables WHERE table_name = {} FOR "
                               "UPDATE",
                               table)));
  if (owner.size() == 0) {
    return fail(Code::Unavailable, fmt::format("the owner of the table \"{}\" was forgotten by "
                                               "somebody else meanwhile",
                                               claim.table));
  }
  if (owner.text(0, 0) == claim.job && owner.text(0, 1) == claim.entity) return {};
  if (!take_over) return fail(table_owned(claim, owner.text(0, 0), owner.text(0, 1)));
  TG_CHECK(
      db_.exec(fmt::format("UPDATE _tidegate_state SET fence = fence + 1, state = '', session "
                           "= '' WHERE job = {} AND entity = {}",
                           db_.literal(owner.text(0, 0)), db_.literal(owner.text(0, 1)))));
  return db_.exec(fmt::format(
      "UPDATE _tidegate_tables SET job = {}, entity = {}, since = UTC_TIMESTAMP(6) WHERE "
      "table_name = {}",
      db_.literal(claim.job), db_.literal(claim.entity), table));
}

Status Ledger::note_keys(const Claim& claim, const std::vector<std::vector<std::string>>& keys) {
  std::string list;
  for (const auto& key : keys) {
    if (!key.empty()) list += (list.empty() ? "" : "\n") + json::write(protocol::to_array(key));
  }
  return db_.exec(fmt::format("UPDATE _tidegate_tables SET own_key = {} WHERE table_name = {}",
                              db_.literal(list), db_.literal(claim.table)));
}

Status Ledger::store(const Claim& claim, const Writer::NewState& state) {
  TG_TRY(const Rows met,
         db_.query(fmt::format("UPDATE _tidegate_state SET state = {}, epoch = {}, sequence = "
                               "sequence + 1, updated_at = UTC_TIMESTAMP(6) WHERE {}",
                               db_.literal(state.state), state.epoch, mine(claim))));
  if (met.changed() == 1) return {};
  return fail(fenced(claim));
}

Status Ledger::release(const Claim& claim) {
  return db_.exec(fmt::format("UPDATE _tidegate_state SET session = '' WHERE {}", mine(claim)));
}

Status Ledger::reject(const Claim& claim, const std::string& run_id, int attempt,
                      std::span<const RejectedRow> rows) {
  if (rows.empty()) return {};
  TG_TRY(const Rows last, db_.query("SELECT coalesce(max(id), 0) FROM _tidegate_rejected"));
  const std::string before = last.text(0, 0), run = db_.literal(run_id);
  // Raw rows may be any bytes.
  const auto text = [&](const std::string& value) {
    return db_.literal(is_utf8(value) ? value : protocol::to_utf8(value));
  };
  std::string values;
  for (const RejectedRow& row : rows) {
    values +=
        fmt::format("{}({}, {}, {}, {}, {}, {}, {}, UTC_TIMESTAMP(6))", values.empty() ? "" : ", ",
                    db_.literal(claim.job), db_.literal(claim.entity), run, attempt,
                    text(row.locator), text(row.reason), text(row.row));
    if (values.size() < db_.piece_size() && &row != &rows.back()) continue;
    TG_CHECK(db_.exec(
        "INSERT INTO _tidegate_rejected (job, entity, run_id, attempt, locator, reason, `row`, "
        "rejected_at) VALUES " +
        std::exchange(values, {})));
  }
  return db_.exec(fmt::format(
      "DELETE o FROM _tidegate_rejected o JOIN _tidegate_rejected n ON n.job = o.job AND n.entity "
      "= o.entity AND n.id > {0} AND n.locator = o.locator AND n.`row` = o.`row` WHERE o.job = {1} "
      "AND o.entity = {2} AND o.id <= {0} AND NOT (o.run_id = {3} AND o.attempt = {4})",
      before, db_.literal(claim.job), db_.literal(claim.entity), run, attempt));
}

Status Ledger::forget_rejected(const Claim& claim) {
  return db_.exec(fmt::format("DELETE FROM _tidegate_rejected WHERE {}", of(claim)));
}

}  // namespace tidegate::engine::mysql
