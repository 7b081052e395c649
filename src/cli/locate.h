#pragma once
// Which server a command talks to, and with which token.

#include <string>

#include "base/error.h"
#include "base/secret.h"
#include "cli/command.h"

namespace tidegate::cli {

struct Target {
  std::string url;       // without a trailing slash
  std::string url_from;  // where the address came from, for messages; URL: login's own argument
  Secret token;          // empty: none found
  std::string token_from;
  std::string workspace = "default";
  std::string ca_file;
  std::string data_dir;  // of a local server; for hints
};

// Address: --server, TIDEGATE_SERVER, the server.json of --data, TIDEGATE_DATA or the configuration
// file, `tidegate login`, the server.json of the default data folder. Token: --token-file,
// TIDEGATE_TOKEN_FILE, the one of the login or of the local data folder, but only for the address
// that it belongs to: no token is ever sent to another server. NotFound: no address, with what to
// do. Forbidden, NotFound: a file cannot be read.
Result<Target> locate(const Context& context, const Args& args);

// What to do about a server that gives no answer, for the reason that httpclient gives; `timeout`:
// something took the request; `certificate`, `no_http`: something answered, and it runs. When the
// address is from a data folder's server.json, says whether the process named there lives, and
// whether another one is named there by now.
std::string remedy_for_no_answer(const Io& io, const Target& target, std::string_view reason);

// With a scheme (http unless it has one) and without a trailing slash.
std::string normal_url(std::string url);
// The same of an address that somebody gave; `from`: where (--server, …). Invalid with a user name
// or password in it: the server knows tokens only, and an address stands in messages and files.
Result<std::string> server_url(std::string url, std::string_view from);

// ${XDG_DATA_HOME:-~/.local/share}/tidegate; ${XDG_CONFIG_HOME:-~/.config}/tidegate/login.json.
std::string default_data_dir(const Io& io);
std::string login_path(const Io& io);

// Replaces the file atomically with mode 0600, making its folders with mode 0700.
Status write_private_file(const std::string& path, std::string_view text);
// NotFound, Forbidden, or TooLarge above `max` bytes, naming the path.
Result<std::string> read_text_file(const std::string& path, std::size_t max = 16 << 20);
// The same; `-` is stdin.
Result<std::string> read_file(const Io& io, const std::string& path, std::size_t max = 16 << 20);
// What a message calls such a path.
std::string origin_of(const std::string& path);

}  // namespace tidegate::cli
