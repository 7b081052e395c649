// `tidegate secrets rotate`: seals the secrets of the store again with the first key.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "app/commands/commands.h"
#include "app/serve/data_dir.h"
#include "app/serve/open_store.h"
#include "cli/output.h"
#include "control/secrets/config_seal.h"

namespace tidegate::app {
namespace {

using model::Connection;
using model::ConnectionKind;

// A worker that was not seen for so long is gone.
constexpr Millis kSeenWithin{60'000};
constexpr int kTries = 5;  // while others change the same connection

struct Rotation {
  store::Store& store;
  const secrets::KeyRing& keys;
  const Clock& clock;
  Rng& rng;
  std::int64_t seen = 0, sealed = 0;
  std::vector<FieldError> unreadable;

  // A worker without the new key could open no secret any more.
  Status check_workers() const {
    TG_TRY(const auto workers, store.list_workers(kSeenWithin));
    const std::string key = keys.key_ids().front();
    std::vector<FieldError> without;
    for (const auto& w : workers) {
      if (std::ranges::find(w.secret_keys, key) != w.secret_keys.end()) continue;
      without.push_back(
          {fmt::format("worker {}", w.id.str()),
           fmt::format("on {} (pid {}) does not have the key {}; restart it with the new key first",
                       w.host, w.pid, key),
           std::nullopt});
    }
    if (without.empty()) return {};
    return fail(Error{Code::Invalid,
                      "nothing was changed: not every running server has the new key",
                      "key_not_everywhere", std::move(without)});
  }

  Status rotate(const WorkspaceId& ws, const ConnectionId& id, ConnectionKind kind) {
    for (int i = 0;; ++i) {
      auto found = store.get_connection(ws, kind, id);
      if (!found && found.error().code == Code::NotFound) return {};  // deleted meanwhile
      TG_TRY(Connection c, std::move(found));
      const auto changed = secrets::rotate_config(keys, rng, c.id, c.config);
      if (!changed) {
        unreadable.push_back({c.name, changed.error().message, std::nullopt});
        return {};
      }
      if (!*changed) return {};
      c.updated_at = clock.now();
      const auto updated = store.update_connection(c, c.revision);
      if (updated) return ++sealed, Status{};
      if (updated.error().code != Code::PreconditionFailed || i == kTries) {
        return std::unexpected(updated.error());
      }
    }
  }

  Status rotate(const model::Workspace& ws, ConnectionKind kind) {
    store::ConnectionQuery query{.workspace = ws.id, .kind = kind, .name_contains = {}, .page = {}};
    query.page.limit = 1000;
    do {
      TG_TRY(const auto list, store.list_connections(query));
      for (const Connection& c : list.items) {
        ++seen;
        TG_CHECK(rotate(ws.id, c.id, kind));
      }
      query.page.cursor = list.next_cursor;
    } while (query.page.cursor);
    return {};
  }
};

Result<secrets::KeyRing> existing_keys(const Config& config, Rng& rng) {
  const std::string file = config.data_dir + "/secret-key";
  if (config.secret_key.empty() && ::access(file.c_str(), F_OK) != 0) {
    return fail(Code::Invalid,
                fmt::format("there is no key: set TIDEGATE_SECRET_KEY to `new,old`, or write that "
                            "to {}",
                            file),
                "no_secret_key");
  }
  return key_ring(config, rng);
}

Result<int> rotate(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  const SystemClock clock;
  SystemRng rng;
  TG_TRY(const StoreUrl url, parse_store_url(config.store_url));
  if (!is_there(url)) {
    return fail(Code::NotFound,
                fmt::format("there is no store {}; name it with --store", url.shown));
  }
  TG_TRY(const auto keys, existing_keys(config, rng));
  TG_TRY(const auto store, open_store(config, url, clock, rng, &keys));
  TG_CHECK(check_store_key(*store, keys));
  Rotation rotation{.store = *store, .keys = keys, .clock = clock, .rng = rng, .unreadable = {}};
  TG_CHECK(rotation.check_workers());
  TG_TRY(const auto workspaces, store->list_workspaces());
  for (const auto& ws : workspaces) {
    for (const auto kind : {ConnectionKind::Source, ConnectionKind::Destination})
      TG_CHECK(rotation.rotate(ws, kind));
  }
  if (!rotation.unreadable.empty()) {
    return fail(Error{Code::Invalid,
                      fmt::format("{} connections were sealed again, but these have a secret that "
                                  "no key here opens; keep the old key, or set the secret again",
                                  rotation.sealed),
                      "secret_unreadable", std::move(rotation.unreadable)});
  }
  TG_CHECK(replace_store_key(*store, keys));
  const boost::json::object done{{"key", keys.key_ids().front()},
                                 {"connections", rotation.seen},
                                 {"sealedAgain", rotation.sealed}};
  return cli::print(
      context.io, args, done,
      {{"KEY", "key"}, {"CONNECTIONS", "connections"}, {"SEALED AGAIN", "sealedAgain"}});
}

}  // namespace

cli::Command secrets_rotate_command() {
  std::vector<cli::Option> options = config_options();
  options.push_back(cli::output_option());
  return {"secrets rotate",
          "Seal the stored secrets with the new key\n\n"
          "First give every server both keys, `new,old` in TIDEGATE_SECRET_KEY or DATA/secret-key, "
          "and restart it. Afterwards the old key can be taken away. May be repeated.",
          std::move(options), rotate};
}

}  // namespace tidegate::app
