#include "control/store/postgres/tx.h"

#include <algorithm>
#include <thread>

namespace tidegate::store::postgres {

Result<std::vector<Rows>> Tx::start(std::vector<Query> queries) {
  queries.insert(queries.begin(), {query("BEGIN"), query("SELECT tidegate_now()")});
  TG_TRY(auto rows, db.run(queries));
  now = rows[1].front().time(0);
  rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

Result<std::vector<Rows>> Tx::end(const char* how, std::vector<Query> queries) {
  queries.push_back(query(how));
  TG_TRY(auto rows, db.run(queries));
  if (rows.back().tag() != how) {
    return fail(Code::Internal, "PostgreSQL rolled a transaction back instead of committing it");
  }
  ended = true;
  rows.pop_back();
  return rows;
}

Result<std::vector<Rows>> Tx::commit(std::vector<Query> queries) {
  return end("COMMIT", std::move(queries));
}

Result<std::vector<Rows>> Tx::give_up(std::vector<Query> queries) {
  return end("ROLLBACK", std::move(queries));
}

bool Database::undo(Tx& tx) {
  const std::string state = tx.db.sqlstate();
  const bool outdated = tx.db.outdated();
  if (tx.db.broken() || !tx.db.script("ROLLBACK")) return false;
  // 40001 serialization failure, 40P01 deadlock; 23505: somebody was faster with the same name, id
  // or key, which the next look finds; 22012: what was known did not hold (Attempts::writes).
  return outdated || state == "40001" || state == "40P01" || state == "23505" || state == "22012";
}

void Database::pause(int attempt) {
  const auto most = std::min(std::uint64_t{4} << attempt, std::uint64_t{100});
  std::this_thread::sleep_for(Millis(static_cast<std::int64_t>(1 + rng_.below(most))));
}

}  // namespace tidegate::store::postgres
