#pragma once
// The data folder: who may see it, and the files in it that are not the store.

#include <optional>
#include <string>

#include "app/config/config.h"
#include "base/rng.h"
#include "base/secret.h"
#include "control/secrets/key_ring.h"
#include "httpclient/http_client.h"

namespace tidegate::app {

// Makes the folder (0700) with the default root of files below it. Forbidden: it cannot be used,
// with what to do. Warns when other users may look into it.
Status prepare_data_dir(const Config& config);

// A random id that the folder keeps (DATA/folder-id), made when it is missing: what tells this
// folder's admin token from those of others on one store, whatever the host is called.
Result<std::string> folder_id(const Config& config, Rng& rng);

struct AdminToken {
  Secret text;
  bool generated = false;  // now, by this call
  std::string file;        // where it is kept; empty when it came from the configuration
};
// The configured one, else the one of DATA/admin-token, else a new one kept there (0600).
Result<AdminToken> admin_token(const Config& config, Rng& rng);
// The one of DATA/admin-token. Invalid: the file holds none.
Result<Secret> kept_admin_token(const Config& config);

// The configured key, else the one of DATA/secret-key, which is made when it is missing.
Result<secrets::KeyRing> key_ring(const Config& config, Rng& rng);

// What no job may read or write: the keys, the token, and the store where it is a file (else
// `store_path` is empty).
std::vector<std::string> forbidden_paths(const Config& config, const std::string& store_path);

// Nothing came back from `url` within two seconds. An answer that is no HTTP, or a certificate that
// is not trusted here, is not silence.
bool is_silent(httpclient::Transport& transport, const std::string& url);

// DATA/server.json: where a server of this folder listens, for the CLI. Names this process unless
// another one that lives is named there, and answers when `probe` is given (a stopped one does
// not); to be called again from time to time, since that one may end without a word. The probe may
// take two seconds.
Status offer_server_file(const Config& config, const std::string& url,
                         httpclient::Transport* probe = nullptr);
void remove_server_file(const Config& config);  // when it is this process's
// The address in DATA/server.json, when the process named there lives.
std::optional<std::string> living_server(const Config& config);

}  // namespace tidegate::app
