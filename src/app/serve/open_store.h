#pragma once
// The one place that knows every kind of store.

#include <memory>
#include <string>

#include "app/config/config.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/secrets/key_ring.h"
#include "control/store/store.h"

namespace tidegate::app {

enum class StoreKind : std::uint8_t { Sqlite, Postgres, Mongo };

struct StoreUrl {
  StoreKind kind = StoreKind::Sqlite;
  std::string path;   // of an SQLite file, absolute; else empty
  std::string shown;  // for messages: a path, or a URL without its password
};

// `sqlite:///abs`, `sqlite:rel`, `postgres://…`, `mongodb://…`, `mongodb+srv://…`. Invalid: another
// scheme or no URL; Unsupported: one of a store that would not be kept. Never holds the password.
Result<StoreUrl> parse_store_url(const std::string& url);

// Invalid: the folder of an SQLite store does not exist and is not the data folder, which alone is
// made.
Status check_store_folder(const Config& config, const StoreUrl& url);

// False: an SQLite file that does not exist; a server's store is not asked.
bool is_there(const StoreUrl& url);

// Opens the configured store, making or migrating it where needed. Time limits of a server's
// sessions follow the leases. Unavailable: it cannot be reached or is locked now, later may help.
// Every other error is Invalid: somebody has to mend something, and nothing was written. `keys`, if
// there are any: a store that has a key has to have one of them (`wrong_secret_key`), which is
// looked at before anything is made or migrated: the servers that have its key go on beside it.
Result<std::unique_ptr<store::Store>> open_store(const Config& config, const StoreUrl& url,
                                                 const Clock& clock, Rng& rng,
                                                 const secrets::KeyRing* keys = nullptr);

// The schema versions, for `tidegate migrate`; nothing is written. Errors as open_store.
Result<store::SchemaState> inspect_store(const Config& config, const StoreUrl& url);

// All processes on one store seal secrets with the same key: the store keeps its id.
// Invalid `wrong_secret_key`: `keys` has not the one that was kept.
Status check_store_key(store::Store& store, const secrets::KeyRing& keys);
Status keep_store_key(store::Store& store, const secrets::KeyRing& keys);     // and keeps the first
Status replace_store_key(store::Store& store, const secrets::KeyRing& keys);  // after a rotation

}  // namespace tidegate::app
