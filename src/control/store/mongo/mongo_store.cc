#include "control/store/mongo/mongo_store.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/ids.h"
#include "control/store/mongo/keys.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/schema.h"

namespace tidegate::store::mongo {
namespace {

constexpr int kTries = 40;  // of a step that loses races: some seconds altogether
constexpr std::uint64_t kLongestPauseMs = 200;

Result<Instant> ask_time(Pool& pool) {
  Conn conn(pool);
  TG_TRY(const auto hello, conn.run({{"hello", 1}}, "admin"));
  return time_of(hello, "localTime");
}

}  // namespace

MongoStore::MongoStore(const MongoOptions& options, const Clock& clock, Rng& rng,
                       std::unique_ptr<Pool> pool, bool replicated)
    : rng_(rng),
      pool_(std::move(pool)),
      replicated_(replicated),
      self_(new_uuid_v7(clock, rng)),
      fixed_time_(options.now),
      time_([this] { return ask_time(*pool_); }, clock),
      sessions_(replicated ? std::make_unique<SessionBook>(*pool_, self_,
                                                           [this] { return ask_time(*pool_); })
                           : nullptr),
      feed_(*pool_, hub_, rng, self_, replicated, options.poll_interval) {}

Capabilities MongoStore::capabilities() const {
  return {.durable = true,
          .shared = true,
          .pushes_changes = replicated_,
          .atomic_steps = replicated_,
          .name = "mongodb"};
}

Status MongoStore::ping() {
  Conn conn(*pool_);
  TG_CHECK(conn.exists(coll::kSchema, {{"_id", newest_schema()}}));
  return {};
}

Result<std::optional<std::string>> MongoStore::find_replay(const Idempotency& once) {
  TG_TRY(const Instant at, now());
  Conn conn(*pool_);
  return mongo::find_replay(conn, at, once);
}

std::unique_ptr<Subscription> MongoStore::watch(ChangeHandler handler) {
  auto subscription = hub_.subscribe(std::move(handler));
  feed_.start();
  return subscription;
}

bool MongoStore::pause_before(int tried) {
  if (tried >= kTries) return false;
  const std::uint64_t most = std::min<std::uint64_t>(kLongestPauseMs, 1U << std::min(tried, 10));
  std::this_thread::sleep_for(std::chrono::milliseconds(rng_.below(most) + 1));
  return true;
}

}  // namespace tidegate::store::mongo

namespace tidegate::store {

void fit_to_lease(MongoOptions& options, Millis ttl) {
  constexpr Millis kLeast{2'000};  // a server that is only slow is not given up for a short lease
  options.answer_timeout = std::min(options.answer_timeout, std::max(ttl / 2, kLeast));
}

Result<SchemaState> mongo_schema(const MongoOptions& options) {
  using namespace mongo;
  TG_TRY(auto pool, Pool::open(options));
  Conn conn(*pool);
  TG_CHECK(inspect(conn, *pool));
  TG_TRY(const auto version, present_version(conn, *pool));
  SchemaState state{.present = version.value_or(0), .needed = newest_schema(), .settings = {}};
  TG_TRY(const auto settings, conn.find(coll::kSettings, {}));
  for (const auto& s : settings) state.settings.emplace(text_of(s, "_id"), text_of(s, "value"));
  return state;
}

Result<std::unique_ptr<Store>> open_mongo_store(const MongoOptions& options, const Clock& clock,
                                                Rng& rng) {
  using namespace mongo;
  TG_TRY(auto pool, Pool::open(options));
  bool replicated = false;
  {
    Conn conn(*pool);
    TG_TRY(const ServerFacts facts, inspect(conn, *pool));
    replicated = facts.replicated;
    Result<Instant> now = options.now ? options.now() : ask_time(*pool);
    TG_CHECK(now);
    TG_CHECK(migrate(conn, *pool, *now));
  }
  pool->opened();
  return std::make_unique<MongoStore>(options, clock, rng, std::move(pool), replicated);
}

}  // namespace tidegate::store
