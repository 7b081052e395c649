#include "cli/locate.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace tidegate::cli {
namespace {

std::string folder(const Io& io, const char* variable, const char* below_home) {
  std::string base = io.env(variable).value_or("");
  if (base.starts_with('/')) return base;  // the XDG specification ignores relative ones
  // As the server does: without a home, as under a service manager, there is no .local either.
  const std::string home = io.env("HOME").value_or("");
  return home.empty() ? "/var/lib" : home + below_home;
}

// Members of a small JSON file; an unreadable or foreign one is as good as none.
struct Known {
  std::string path, url, token, process;
};
std::optional<Known> known_from(const Io& io, const std::string& path) {
  const auto text = read_file(io, path, 1 << 16);
  if (!text) return std::nullopt;
  const auto v = json::parse(*text);
  if (!v || !v->is_object()) return std::nullopt;
  Known known{.path = path};
  for (const auto& [name, to] :
       {std::pair{"url", &known.url}, {"token", &known.token}, {"process", &known.process}}) {
    const auto* member = v->get_object().if_contains(name);
    if (member && member->is_string()) *to = std::string_view(member->get_string());
  }
  return known.url.empty() ? std::nullopt : std::optional(known);
}

std::optional<Known> local_server(const Io& io, const std::string& data_dir) {
  auto known = known_from(io, data_dir + "/server.json");
  if (!known) return std::nullopt;
  if (const auto token = read_file(io, data_dir + "/admin-token", 4096))
    known->token = trim_end(*token);
  return known;
}

Status find_token(const Io& io, const Args& args, const std::optional<Known>& login,
                  const std::optional<Known>& local, Target& target) {
  std::string from = "--token-file";
  auto path = args.get("token-file");
  if (!path) {
    from = "TIDEGATE_TOKEN_FILE";
    path = io.env(from);
  }
  if (path) {
    TG_TRY(const std::string token, read_file(io, *path, 4096));
    target.token = Secret(std::string(trim_end(token)));
    target.token_from = fmt::format("{} ({})", *path, from);
    return {};
  }
  const auto use = [&](const std::optional<Known>& known, std::string where) {
    if (!target.token.empty() || !known || known->token.empty() ||
        normal_url(known->url) != target.url)
      return;
    target.token = Secret(known->token);
    target.token_from = std::move(where);
  };
  use(login, login_path(io));
  use(local, target.data_dir + "/admin-token");
  return {};
}

}  // namespace

std::string normal_url(std::string url) {
  if (!url.contains("://")) url = "http://" + url;
  while (url.ends_with('/')) url.pop_back();
  return url;
}

Result<std::string> server_url(std::string url, std::string_view from) {
  url = normal_url(std::move(url));
  const auto host = url.find("://") + 3;
  if (url.substr(host, url.find_first_of("/?#", host) - host).contains('@')) {
    return fail(Code::Invalid,
                fmt::format("{}: the address holds a user name or a password, which no server of "
                            "Tidegate takes; give the address alone, and a token with --token-file",
                            from),
                "server_url");
  }
  return url;
}

std::string remedy_for_no_answer(const Io& io, const Target& target, std::string_view reason) {
  if (reason == "certificate") {
    return "Name the file of the authority that signed it, or of the certificate itself when that "
           "is self-signed, by --ca-file, and use a host name that the certificate has";
  }
  // The scheme of server.json is right: there it ended.
  if (reason == "no_http" && !target.url_from.ends_with("server.json")) {
    return "It ended the connection without an answer in HTTP: if it has TLS, write the address "
           "with https://, else look at it and its log";
  }
  const bool silent = reason == "timeout";
  if (target.url_from == "URL") return "Look at the address, and whether the server runs there";
  if (!target.url_from.ends_with("server.json")) {
    return silent
               ? "The server may be stopped or overloaded, or something else listens there: look "
                 "at it and its log, or name another address with --server"
               : "Is it running? Start it with `tidegate serve`, or name another address with "
                 "--server";
  }
  const auto named = known_from(io, target.url_from);
  if (named && normal_url(named->url) != target.url) {
    return fmt::format(
        "Another server of that folder, {}, is named there now: run the command again", named->url);
  }
  const auto process = named ? ProcessIdentity::decode(named->process) : std::nullopt;
  if (!process) return "That server may have ended: start it with `tidegate serve`";
  // ServerProcess::keep_house() sees to that.
  constexpr std::string_view kOthers =
      "When another server runs on that folder, it is named there within 15 seconds: try again";
  if (!is_alive(*process)) {
    return fmt::format("Its process {} does not run any more: start it with `tidegate serve`. {}",
                       process->pid, kOthers);
  }
  return fmt::format(
      "Its process {} runs but {}: look at it and its log, or end it and start it again with "
      "`tidegate serve`. {}",
      process->pid, silent ? "is silent (stopped, or overloaded)" : "does not listen there",
      kOthers);
}

std::string default_data_dir(const Io& io) {
  return folder(io, "XDG_DATA_HOME", "/.local/share") + "/tidegate";
}
std::string login_path(const Io& io) {
  return folder(io, "XDG_CONFIG_HOME", "/.config") + "/tidegate/login.json";
}

Result<Target> locate(const Context& context, const Args& args) {
  const Io& io = context.io;
  Target target;
  auto data = args.has("data") ? args.get("data") : io.env("TIDEGATE_DATA");
  const bool named = args.has("server") || !io.env("TIDEGATE_SERVER").value_or("").empty();
  if (!data || data->empty()) {
    auto configured = context.configured_data();
    if (!configured && !named) return fail(std::move(configured).error());
    data = configured ? *configured : std::nullopt;
  }
  target.data_dir = data.value_or(default_data_dir(io));
  const auto login = known_from(io, login_path(io));
  const auto local = local_server(io, target.data_dir);
  if (const auto url = args.get("server")) {
    target.url = *url;
    target.url_from = "--server";
  } else if (const auto env = io.env("TIDEGATE_SERVER"); env && !env->empty()) {
    target.url = *env;
    target.url_from = "TIDEGATE_SERVER";
  } else if (local && (data || !login)) {
    target.url = local->url;
    target.url_from = local->path;
  } else if (login && !data) {
    target.url = login->url;
    target.url_from = login->path;
  } else {
    return fail(
        Code::NotFound,
        fmt::format(
            "no server is known: there is no {0}/server.json, so no server runs on that folder. "
            "Start one with `tidegate serve`, or name one with --server or `tidegate login`",
            target.data_dir),
        "no_server");
  }
  TG_TRY(target.url, server_url(std::move(target.url), target.url_from));
  target.workspace = args.get_or("workspace", io.env("TIDEGATE_WORKSPACE").value_or("default"));
  if (target.workspace.empty()) target.workspace = "default";
  target.ca_file = args.get_or("ca-file", "");
  TG_CHECK(find_token(io, args, login, local, target));
  return target;
}

}  // namespace tidegate::cli
