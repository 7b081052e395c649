#include "app/serve/open_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "app/sync/scrub.h"
#include "control/store/mongo/mongo_store.h"
#include "control/store/postgres/postgres_store.h"
#include "control/store/sqlite/sqlite_store.h"

namespace tidegate::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSecretKey = "secretKey";  // the setting: the id of the key that seals

Result<StoreUrl> bad_store(Code code, std::string message) {
  return fail(code, "store: " + std::move(message), "bad_store");
}

Result<StoreUrl> parse_sqlite(const std::string& url, std::string path) {
  if (path == ":memory:" || path.starts_with("file:")) {
    return bad_store(Code::Unsupported,
                     fmt::format("sqlite:{} would not be kept in a file; write "
                                 "sqlite:///absolute/path or sqlite:relative/path",
                                 path));
  }
  if (path.starts_with("//")) path.erase(0, 2);
  if (path.empty() || path.ends_with('/') ||
      (url.starts_with("sqlite://") && !path.starts_with('/'))) {
    return bad_store(Code::Invalid,
                     "the URL names no file; write sqlite:///absolute/path or "
                     "sqlite:relative/path");
  }
  std::error_code ec;
  path = fs::absolute(path, ec).lexically_normal().string();
  return StoreUrl{.kind = StoreKind::Sqlite, .path = path, .shown = path};
}

Result<std::unique_ptr<store::Store>> open_kind(const Config& config, const StoreUrl& url,
                                                const Clock& clock, Rng& rng) {
  const Millis shortest_lease = std::min(config.scheduler_ttl, config.run_ttl);
  switch (url.kind) {
    case StoreKind::Postgres: {
      store::PostgresOptions options{.url = Secret(config.store_url)};
      options.connections = static_cast<std::size_t>(config.store_connections);
      store::fit_to_lease(options, shortest_lease);
      return store::open_postgres_store(options, rng);
    }
    case StoreKind::Mongo: {
      store::MongoOptions options{.uri = Secret(config.store_url)};
      store::fit_to_lease(options, shortest_lease);
      return store::open_mongo_store(options, clock, rng);
    }
    case StoreKind::Sqlite:
      break;
  }
  TG_CHECK(check_store_folder(config, url));
  return store::open_sqlite_store({.path = url.path, .lock_patience = config.scheduler_ttl}, clock);
}

// What of it is the configuration's, which somebody has to mend.
Error as_configured(const StoreUrl& url, Error error) {
  // A file that cannot be opened stays so; a server comes back.
  const bool later = error.code == Code::Unavailable &&
                     (url.kind != StoreKind::Sqlite || error.reason != "store_cannot_open");
  if (!later) error.code = Code::Invalid;
  return error;
}

Status require_key(const secrets::KeyRing& keys, const std::string& kept) {
  const auto ids = keys.key_ids();
  if (std::ranges::find(ids, kept) != ids.end()) return {};
  return fail(Code::Invalid,
              fmt::format("the secrets of this store are sealed with the key {}, and this process "
                          "has only {}; give it the same key as the others: TIDEGATE_SECRET_KEY, "
                          "TIDEGATE_SECRET_KEY_FILE or a copy of their DATA/secret-key. Nothing "
                          "was changed",
                          kept, ids.front()),
              "wrong_secret_key");
}

}  // namespace

Result<StoreUrl> parse_store_url(const std::string& url) {
  const std::size_t colon = url.find(':');
  const std::string scheme = url.substr(0, colon);
  if (colon == std::string::npos || colon == 0) {
    return bad_store(Code::Invalid,
                     "must be a URL such as sqlite:///var/lib/tidegate/tidegate.db, "
                     "postgres://user@host/database or mongodb://user@host/database");
  }
  if (scheme == "sqlite") return parse_sqlite(url, url.substr(colon + 1));
  const bool postgres = scheme == "postgres" || scheme == "postgresql";
  if (postgres || scheme == "mongodb" || scheme == "mongodb+srv") {
    if (!url.substr(colon).starts_with("://")) {
      return bad_store(Code::Invalid,
                       fmt::format("the URL must begin with {}://user@host/database", scheme));
    }
    // Or a piece of it would be the host, which every message names.
    if (has_unescaped_password(url)) {
      return bad_store(Code::Invalid,
                       "the URL has more than one @, or a / or ? before it: such characters of the "
                       "user and the password must be percent-encoded (@ as %40, / as %2F, ? as "
                       "%3F, : as %3A, % as %25). It is not shown, as it may hold a password");
    }
    return StoreUrl{.kind = postgres ? StoreKind::Postgres : StoreKind::Mongo,
                    .path = {},
                    .shown = shown_url(url)};
  }
  // Only the scheme: the rest may hold a password.
  return bad_store(Code::Invalid, fmt::format("{}: is no known kind of store; use sqlite:///path, "
                                              "postgres://… or mongodb://…",
                                              scheme));
}

Status check_store_folder(const Config& config, const StoreUrl& url) {
  if (url.kind != StoreKind::Sqlite) return {};
  std::error_code ec;
  const fs::path folder = fs::path(url.path).parent_path();
  const fs::path data = fs::absolute(config.data_dir, ec).lexically_normal();
  if (folder == data || fs::is_directory(folder, ec)) return {};
  return fail(Code::Invalid,
              fmt::format("store: the folder {} does not exist; make it (mkdir -p), or name "
                          "another file with --store",
                          folder.string()),
              "bad_store");
}

bool is_there(const StoreUrl& url) {
  std::error_code ec;
  return url.kind != StoreKind::Sqlite || fs::exists(url.path, ec);
}

Result<std::unique_ptr<store::Store>> open_store(const Config& config, const StoreUrl& url,
                                                 const Clock& clock, Rng& rng,
                                                 const secrets::KeyRing* keys) {
  if (keys != nullptr) {
    TG_TRY(const store::SchemaState state, inspect_store(config, url));
    const auto kept = state.settings.find(kSecretKey);
    if (kept != state.settings.end()) TG_CHECK(require_key(*keys, kept->second));
  }
  auto opened = open_kind(config, url, clock, rng);
  if (opened) return opened;
  return fail(as_configured(url, std::move(opened).error()));
}

Result<store::SchemaState> inspect_store(const Config& config, const StoreUrl& url) {
  auto state = [&]() -> Result<store::SchemaState> {
    switch (url.kind) {
      case StoreKind::Postgres:
        return store::postgres_schema({.url = Secret(config.store_url)});
      case StoreKind::Mongo:
        return store::mongo_schema({.uri = Secret(config.store_url)});
      case StoreKind::Sqlite:
        break;
    }
    return store::sqlite_schema(url.path);
  }();
  if (state) return state;
  return fail(as_configured(url, std::move(state).error()));
}

Status check_store_key(store::Store& store, const secrets::KeyRing& keys) {
  TG_TRY(const auto kept, store.find_setting(kSecretKey));
  return kept ? require_key(keys, *kept) : Status();
}

Status keep_store_key(store::Store& store, const secrets::KeyRing& keys) {
  TG_CHECK(check_store_key(store, keys));  // nothing is written when it is wrong
  TG_TRY(const std::string kept, store.keep_setting(kSecretKey, keys.key_ids().front()));
  return require_key(keys, kept);
}

Status replace_store_key(store::Store& store, const secrets::KeyRing& keys) {
  const std::string first = keys.key_ids().front();
  TG_TRY(const std::string kept, store.keep_setting(kSecretKey, first));
  return store.replace_setting(kSecretKey, kept, first);
}

}  // namespace tidegate::app
