#include "app/serve/data_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "app/commands/commands.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/api_client.h"
#include "cli/locate.h"
#include "control/secrets/tokens.h"

namespace tidegate::app {
namespace {

namespace fs = std::filesystem;

Status make_private_dir(const std::string& path) {
  std::error_code ec;
  const fs::path folder(path);
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), ec);
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  const int cause = errno;
  if (cause == EEXIST && fs::is_directory(path, ec)) return {};
  return fail(Code::Invalid,
              fmt::format("cannot make the folder {}: {}; choose another with --data or give this "
                          "user the right to",
                          path, cause == EEXIST ? "a file has that name" : std::strerror(cause)),
              "data_dir");
}

std::string server_file(const Config& config) { return config.data_dir + "/server.json"; }

struct NamedServer {
  ProcessIdentity process;
  std::string url;
};
// Whom server.json names; nullopt: nobody, or the file is not ours to understand.
std::optional<NamedServer> named_server(const Config& config) {
  const auto text = cli::read_text_file(server_file(config), 4096);
  if (!text) return std::nullopt;
  const auto v = json::parse(*text);
  if (!v) return std::nullopt;
  const auto process = ProcessIdentity::decode(cli::text_at(*v, "process"));
  if (!process) return std::nullopt;
  return NamedServer{*process, cli::text_at(*v, "url")};
}

// False: of two servers that start at the same time the other one was first.
Result<bool> make_once(const std::string& path, std::string_view line, Rng& rng) {
  const std::string mine = fmt::format("{}.{:016x}", path, rng.next());
  TG_CHECK(cli::write_private_file(mine, fmt::format("{}\n", line)));
  const bool linked = ::link(mine.c_str(), path.c_str()) == 0;
  const int cause = errno;
  ::unlink(mine.c_str());
  if (linked || cause == EEXIST) return linked;
  return fail(Code::Invalid, fmt::format("cannot write {}: {}", path, std::strerror(cause)),
              "admin_token");
}

}  // namespace

bool is_silent(httpclient::Transport& transport, const std::string& url) {
  const auto answer = transport.send(
      {.url = url + "/healthz", .connect_timeout = Millis(2000), .timeout = Millis(2000)});
  return !answer && answer.error().reason == "timeout";
}

Status prepare_data_dir(const Config& config) {
  TG_CHECK(make_private_dir(config.data_dir));
  if (::access(config.data_dir.c_str(), R_OK | W_OK | X_OK) != 0) {
    return fail(Code::Invalid,
                fmt::format("the data folder {} cannot be written: {}; give this user the right "
                            "to, or choose another "
                            "with --data",
                            config.data_dir, std::strerror(errno)),
                "data_dir");
  }
  struct stat info{};
  if (::stat(config.data_dir.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    log::warn("other users may look into the data folder; run: chmod 700 " + config.data_dir);
  }
  for (const std::string& root : config.path_roots) {
    std::error_code ec;
    if (root == config.data_dir + "/files") {
      TG_CHECK(make_private_dir(root));
    } else if (!fs::is_directory(root, ec)) {
      log::warn("a folder of paths.roots does not exist; jobs cannot use it", {{"path", root}});
    }
  }
  return {};
}

Result<Secret> kept_admin_token(const Config& config) {
  const std::string path = config.data_dir + "/admin-token";
  TG_TRY(const std::string content, cli::read_text_file(path, 4096));
  const std::string_view text = trim_end(content);
  if (text.size() >= 16) return Secret(std::string(text));
  return fail(Code::Invalid,
              fmt::format("{} holds no token; delete it and a new one is made", path),
              "admin_token");
}

Result<std::string> folder_id(const Config& config, Rng& rng) {
  const std::string path = config.data_dir + "/folder-id";
  if (::access(path.c_str(), F_OK) != 0) {
    TG_CHECK(make_once(path, fmt::format("{:016x}", rng.next()), rng));
  }
  TG_TRY(const std::string text, cli::read_text_file(path, 4096));
  return std::string(trim_end(text));
}

Result<AdminToken> admin_token(const Config& config, Rng& rng) {
  if (!config.admin_token.empty()) return AdminToken{config.admin_token, false, ""};
  const std::string path = config.data_dir + "/admin-token";
  if (::access(path.c_str(), F_OK) != 0) {
    Secret token = secrets::new_token(rng);
    TG_TRY(const bool ours, make_once(path, token.reveal(), rng));
    if (ours) return AdminToken{std::move(token), true, path};
  }
  TG_TRY(Secret token, kept_admin_token(config));
  return AdminToken{std::move(token), false, path};
}

Result<secrets::KeyRing> key_ring(const Config& config, Rng& rng) {
  if (!config.secret_key.empty()) return secrets::KeyRing::from_text(config.secret_key.reveal());
  return secrets::KeyRing::from_file(config.data_dir + "/secret-key", rng);
}

std::vector<std::string> forbidden_paths(const Config& config, const std::string& store_path) {
  std::vector<std::string> out;
  if (!store_path.empty()) out = {store_path, store_path + "-wal", store_path + "-shm"};
  for (const char* name : {"secret-key", "admin-token", "server.json"})
    out.push_back(config.data_dir + "/" + name);
  return out;
}

Status offer_server_file(const Config& config, const std::string& url,
                         httpclient::Transport* probe) {
  const ProcessIdentity self = this_process();
  if (const auto named = named_server(config); named && is_alive(named->process)) {
    if (probe == nullptr || named->process == self || !is_silent(*probe, named->url)) return {};
    log::warn("the server that server.json names is silent; the CLI is told of this one instead",
              {{"silent", named->url}, {"pid", std::int64_t{named->process.pid}}});
  }
  const boost::json::object content{
      {"url", url}, {"pid", self.pid}, {"process", self.encode()}, {"version", version()}};
  return cli::write_private_file(server_file(config), json::write(content) + "\n");
}

std::optional<std::string> living_server(const Config& config) {
  const auto named = named_server(config);
  return named && is_alive(named->process) ? std::optional(named->url) : std::nullopt;
}

void remove_server_file(const Config& config) {
  const auto named = named_server(config);
  if (named && named->process == this_process()) ::unlink(server_file(config).c_str());
}

}  // namespace tidegate::app
