#include "app/sync/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "app/sync/scrub.h"
#include "base/json.h"
#include "base/utf8.h"

namespace tidegate::app {
namespace {

namespace fs = std::filesystem;

std::string absolute(std::string_view path, const std::string& cwd) {
  return (fs::path(cwd) / fs::path(path)).lexically_normal().string();
}

SyncEndpoint local(std::string_view type, std::string path) {
  SyncEndpoint e;
  e.shown = fmt::format("{} {}", type, path);
  e.identity = fmt::format("{}:{}", type, path);
  e.endpoint = {std::string(type), {{"path", std::move(path)}}};
  return e;
}

Result<SyncEndpoint> from_file(std::string_view name, const boost::json::value& item, Role role,
                               const EndpointParams& params) {
  const auto problem = [&](std::string_view what) {
    return fail(Code::Invalid,
                fmt::format("{} \"{}\" in {} {}", kRoleNames[static_cast<std::size_t>(role)], name,
                            params.named_in, what));
  };
  const auto* object = item.if_object();
  const auto* type = object ? object->if_contains("type") : nullptr;
  if (!type || !type->is_string()) return problem("must be a map with type and config");
  SyncEndpoint e;
  e.endpoint.type = std::string_view(type->get_string());
  if (const auto* config = object->if_contains("config")) {
    if (!config->is_object()) return problem("has a config that is not a map");
    e.endpoint.config = config->get_object();
  }
  // A path of the file is relative to the working directory, as on the command line.
  std::string path;
  if (auto* p = e.endpoint.config.if_contains("path"); p && p->is_string()) {
    path = absolute(std::string_view(p->get_string()), params.cwd);
    *p = path;
  }
  e.shown = fmt::format("{}{}{} ({} in {})", e.endpoint.type, path.empty() ? "" : " ", path, name,
                        params.named_in);
  e.identity = path.empty() ? fmt::format("named:{}:{}", e.endpoint.type, name)
                            : fmt::format("{}:{}", e.endpoint.type, path);
  return e;
}

constexpr std::string_view kSqlite[] = {".db", ".sqlite", ".sqlite3", ".db3"};
constexpr std::string_view kDuckdb[] = {".duckdb", ".ddb"};
constexpr std::string_view kFile[] = {".csv",    ".tsv",     ".txt", ".jsonl",
                                      ".ndjson", ".parquet", ".pq"};

bool ends_with_any(std::string_view path, std::span<const std::string_view> endings) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  return std::ranges::any_of(endings, [&](std::string_view e) { return path.ends_with(e); });
}

// `sqlite:out.db` is relative, `sqlite:/a` and `sqlite:///a` are absolute.
Result<SyncEndpoint> from_local_url(std::string_view type, std::string_view rest,
                                    const EndpointParams& params) {
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    if (!rest.starts_with('/')) {
      const std::string url = shown_url(fmt::format("{}://{}", type, rest));
      return fail(
          Code::Invalid,
          fmt::format("{0} has a host; write {1}:{2} for a relative path or {1}:///{2} for an "
                      "absolute one",
                      url, type, url.substr(url.find("://") + 3)));
    }
  }
  if (rest.empty())
    return fail(Code::Invalid, fmt::format("{}: has no path; write {}:PATH", type, type));
  if (type != "file" && (rest == ":memory:" || rest.starts_with("file:"))) {
    return fail(Code::Invalid,
                fmt::format("{0}:{1} is a database that is not kept in a file, so nothing could "
                            "be found in it afterwards; write {0}:PATH",
                            type, rest));
  }
  return local(type, absolute(rest, params.cwd));
}

// `out/?format=parquet`: the path, and the format that the connector is told.
std::pair<std::string_view, std::string_view> split_format(std::string_view text) {
  constexpr std::string_view kMark = "?format=";
  const std::size_t at = text.rfind(kMark);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + kMark.size())};
}

// `postgres:user:password@host`, `host=… password=…`.
bool may_hold_password(std::string_view text) {
  const std::size_t at = text.rfind('@');
  const bool user = at != std::string_view::npos && text.find(':') < at;
  return user || text.find("password=") != std::string_view::npos;
}

// `has_format`: that of the file is said, so its name and content need not tell.
Result<SyncEndpoint> from_path(std::string_view text, bool has_format, Role role,
                               const EndpointParams& params) {
  if (text == ":memory:") return from_local_url("sqlite", text, params);
  const std::string path = absolute(text, params.cwd);
  if (ends_with_any(path, kSqlite)) return local("sqlite", path);
  if (ends_with_any(path, kDuckdb)) return local("duckdb", path);
  if (role == Role::Destination && text.contains('?')) {
    return fail(Code::Invalid,
                "behind the destination's folder only ?format=csv, jsonl or parquet may stand; "
                "write file:PATH for a folder of such a name");
  }
  if (text.find_first_of("*?[") != std::string_view::npos || ends_with_any(path, kFile))
    return local("file", path);
  switch (params.look(path)) {
    case PathKind::SqliteFile:
      return local("sqlite", path);
    case PathKind::DuckdbFile:
      return local("duckdb", path);
    case PathKind::Folder:
      return local("file", path);
    case PathKind::File:
      if (has_format) return local("file", path);
      return fail(Code::Invalid,
                  fmt::format("cannot tell what {0} is; write file:{1}, sqlite:{1} or "
                              "duckdb:{1}",
                              path, text));
    case PathKind::Missing:
      break;
  }
  if (may_hold_password(text)) {
    return fail(Code::Invalid,
                fmt::format("the {} looks like a database's URL that is mistyped; write "
                            "postgresql://user:password@host/database. It is not shown, as it may "
                            "hold a password",
                            kRoleNames[static_cast<std::size_t>(role)]));
  }
  if (text.ends_with('/')) return local("file", path);
  const std::string no_name =
      params.named_in.empty() ? "" : " and no such name in " + params.named_in;
  if (role == Role::Destination) {
    return fail(
        Code::Invalid,
        fmt::format("\"{0}\" is no known destination: there is no {1}{2}. Write {0}/ for a "
                    "folder of CSV files that is made ({0}/?format=parquet or jsonl for others), a "
                    "database such as {0}.db, a URL "
                    "such as sqlite:{0}, or a name from a file given with --config",
                    text, path, no_name));
  }
  return fail(
      Code::Invalid,
      fmt::format("\"{}\" is no known {}: there is no file {}{}. Write a path such as data/*.csv "
                  "or out.db, a URL "
                  "such as sqlite:out.db, or a name from a file given with --config",
                  text, kRoleNames[static_cast<std::size_t>(role)], path, no_name));
}

// Files of a format that their names do not say.
Result<SyncEndpoint> of_format(Result<SyncEndpoint> parsed, std::string_view format) {
  if (!parsed) return parsed;
  if (parsed->endpoint.type != "file" || format.empty()) {
    return fail(Code::Invalid,
                "?format= is of files and folders alone; write csv, jsonl or parquet behind it, or "
                "leave it out");
  }
  parsed->endpoint.config["format"] = format;
  parsed->shown += fmt::format(" ({})", format);
  return parsed;
}

Result<SyncEndpoint> parse(std::string_view text, Role role, const EndpointParams& params) {
  if (text.empty()) {
    return fail(Code::Invalid,
                fmt::format("the {} is empty", kRoleNames[static_cast<std::size_t>(role)]));
  }
  if (const auto* item = params.named.if_contains(text))
    return from_file(text, *item, role, params);
  for (const std::string_view type : {"sqlite", "duckdb", "file"}) {
    if (!text.starts_with(type) || !text.substr(type.size()).starts_with(':')) continue;
    const std::string_view rest = text.substr(type.size() + 1);
    const auto [path, format] = split_format(rest);
    if (path.size() == rest.size()) return from_local_url(type, rest, params);
    return of_format(from_local_url(type, path, params), format);
  }
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) {
    const auto [path, format] = split_format(text);
    if (path.size() == text.size()) return from_path(text, false, role, params);
    return of_format(from_path(path, true, role, params), format);
  }
  std::string type(text.substr(0, text.find_first_of("+:")));
  if (type == "postgresql") type = "postgres";
  if (type == "mariadb") type = "mysql";
  SyncEndpoint e;
  e.shown = shown_url(std::string(text));
  e.identity = e.shown;
  e.endpoint = {std::move(type), {{"url", text}}};
  return e;
}

}  // namespace

PathKind look_at(const std::string& path) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) return PathKind::Folder;
  std::ifstream in(path, std::ios::binary);
  if (!in) return PathKind::Missing;
  char magic[16] = "";
  in.read(magic, sizeof magic);
  const std::string_view head(magic, static_cast<std::size_t>(in.gcount()));
  if (head.starts_with("SQLite format 3")) return PathKind::SqliteFile;
  // Behind the checksum of the first block (duckdb.org/docs/stable/internals/storage).
  if (head.size() > 8 && head.substr(8).starts_with("DUCK")) return PathKind::DuckdbFile;
  return PathKind::File;
}

std::optional<std::string> unquoted_pattern(std::string_view destination,
                                            const EndpointParams& params) {
  if (params.named.contains(destination) || !ends_with_any(destination, kFile) ||
      params.look(absolute(destination, params.cwd)) != PathKind::File) {
    return std::nullopt;
  }
  const fs::path path(destination);
  return (path.parent_path() / ("*" + path.extension().string())).string();
}

Result<SyncEndpoint> parse_endpoint(std::string_view text, Role role,
                                    const EndpointParams& params) {
  TG_TRY(SyncEndpoint e, parse(text, role, params));
  // What is no UTF-8 stays, for the caller to refuse.
  if (is_utf8(e.shown)) e.shown = escape_controls(e.shown);
  return e;
}

}  // namespace tidegate::app
