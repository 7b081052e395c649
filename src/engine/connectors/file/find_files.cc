#include <dirent.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <iterator>
#include <set>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/connectors/file/config.h"
#include "engine/core/context.h"
#include "engine/core/names.h"

namespace tidegate::engine::file {
namespace {

constexpr std::size_t kMaxFiles = 10'000;

bool is_pattern(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool matches_name(const std::string& pattern, std::string_view path) {
  return fnmatch(pattern.c_str(), std::string(base_name(path)).c_str(), 0) == 0;
}

std::string_view without(std::string_view name, std::string_view ending) {
  return name.ends_with(ending) && name.size() > ending.size()
             ? name.substr(0, name.size() - ending.size())
             : name;
}

// Names in a folder that match one part of a pattern. `folder` as the user wrote it, may be empty.
Result<std::vector<std::string>> list(const std::string& folder, const std::string& part,
                                      const PathPolicy& paths) {
  std::vector<std::string> out;
  auto real = paths.resolve(folder.empty() ? "." : folder, false);
  if (!real) {
    if (real.error().code == Code::NotFound) return out;
    return fail(std::move(real).error());
  }
  DIR* dir = opendir(real->c_str());
  if (dir == nullptr) {
    if (errno == ENOTDIR || errno == ENOENT) return out;
    return fail(errno == EACCES ? Code::Forbidden : Code::Unavailable,
                fmt::format("cannot list the folder '{}': {}; grant this user read access", *real,
                            std::strerror(errno)));
  }
  while (const dirent* entry = readdir(dir)) {
    // A name may be the pattern itself (`odd[1].csv`), which it does not match.
    if (part == entry->d_name || fnmatch(part.c_str(), entry->d_name, FNM_PERIOD) == 0) {
      out.emplace_back(entry->d_name);
    }
  }
  closedir(dir);
  return out;
}

bool is_folder(const std::string& path, const PathPolicy& paths) {
  const auto real = paths.resolve(path, false);
  struct stat st{};
  return real && stat(real->c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

Error clash(const std::string& name, const std::string& a, const std::string& b) {
  return {
      Code::Invalid,
      fmt::format("two files would be the entity \"{}\": '{}' and '{}'; rename one, or name both "
                  "in `entities` of the connection (for `tidegate sync`, in a file given with "
                  "--config), such as {{\"{}\": \"{}*\"}}",
                  name, a, b, name, name),
      "",
      {{"path", "two files share one stem", {}}}};
}

Error bad_name(const std::string& path, std::string_view fault) {
  return data_error(fmt::format(
      "the file '{}' has a name that {}; rename it, or give the entity a name in `entities` of the "
      "connection",
      escape_bytes(path), fault));
}

Error unknown_format(const std::string& path) {
  return {
      Code::Invalid,
      fmt::format("'{}' has no extension that says what it is (csv, tsv, jsonl, ndjson, parquet, "
                  "also with .gz); set `format`",
                  path),
      "",
      {{"format", "cannot be known from the file's name", {}}}};
}

}  // namespace

std::optional<Format> format_of(std::string_view name) {
  const std::string lower = ascii_lower(base_name(name));
  const std::string_view bare = without(lower, ".gz");
  for (const char* e : {".csv", ".tsv", ".txt"}) {
    if (bare.ends_with(e)) return Format::Csv;
  }
  for (const char* e : {".jsonl", ".ndjson"}) {
    if (bare.ends_with(e)) return Format::Jsonl;
  }
  for (const char* e : {".parquet", ".pq"}) {
    if (bare.ends_with(e)) return Format::Parquet;
  }
  return std::nullopt;
}

std::string stem_of(std::string_view path) {
  std::string_view name = base_name(path);
  for (const char* e : {".gz", ".GZ"}) name = without(name, e);
  const std::size_t dot = name.rfind('.');
  return std::string(dot == std::string_view::npos || dot == 0 ? name : name.substr(0, dot));
}

std::string absolute(const std::string& path, const PathPolicy& paths) {
  namespace fs = std::filesystem;
  const fs::path given(path);
  if (given.is_absolute()) return given.lexically_normal().string();
  std::error_code ec;
  const fs::path base = paths.restricted() ? fs::path(paths.roots().front()) : fs::current_path(ec);
  return (base / given).lexically_normal().string();
}

Result<std::vector<std::string>> expand(const std::string& pattern, const PathPolicy& paths) {
  std::vector<std::string> found = {pattern.starts_with('/') ? "/" : ""};
  std::size_t at = 0;
  bool chosen = false;  // by a part before
  while (at < pattern.size()) {
    const std::size_t slash = std::min(pattern.find('/', at), pattern.size());
    const std::string part = pattern.substr(at, slash - at);
    at = slash + 1;
    if (part.empty()) continue;
    std::vector<std::string> next;
    for (const std::string& folder : found) {
      const std::string prefix = folder.empty() || folder == "/" ? folder : folder + "/";
      // Behind a pattern, what is not there is not meant.
      if (!is_pattern(part) && !chosen) {
        next.push_back(prefix + part);
        continue;
      }
      TG_TRY(const auto names, list(folder, part, paths));
      for (const std::string& name : names) next.push_back(prefix + name);
      if (next.size() > kMaxFiles) {
        return fail(Code::TooLarge,
                    fmt::format("more than {} files match '{}'; use a narrower pattern", kMaxFiles,
                                pattern));
      }
    }
    found = std::move(next);
    chosen = chosen || is_pattern(part);
  }
  std::ranges::sort(found);
  return found;
}

namespace {

// The files that `path` means; those of a folder only when their format is known. What has the name
// of a pattern (a file `*.csv`) is one of those that match it, and hides no other.
Result<std::vector<std::string>> files_of(const SourceConfig& config, const PathPolicy& paths) {
  const auto literal = paths.resolve(config.path, false);
  const bool pattern = is_pattern(config.path);
  if (!literal && (literal.error().code != Code::NotFound || !pattern)) {
    return fail(literal.error());
  }
  const bool folder = literal && is_folder(config.path, paths);
  if (!folder && !pattern) return std::vector<std::string>{config.path};
  std::vector<std::string> files;
  std::string looked_for = config.path;
  if (pattern) {
    TG_TRY(files, expand(looked_for, paths));
  }
  if (folder) {
    while (looked_for.size() > 1 && looked_for.ends_with('/')) looked_for.pop_back();
    looked_for += "/*";
    TG_TRY(auto inside, expand(looked_for, paths));
    std::erase_if(inside, [&](const auto& f) { return !config.format && !format_of(f); });
    std::ranges::move(inside, std::back_inserter(files));
  }
  std::erase_if(files, [&](const auto& f) { return is_folder(f, paths); });
  if (!files.empty()) return files;
  const std::string message = fmt::format("no file matches '{}'; check the path and its spelling",
                                          absolute(looked_for, paths));
  return fail(Error{Code::NotFound, message, "no_file", {{"path", message, {}}}});
}

// The entity that takes the files first is named.
Error nothing_matches(const SourceConfig& config, std::size_t index,
                      const std::vector<std::string>& files) {
  const auto& [name, pattern] = config.entities[index];
  std::string why =
      fmt::format("none of the {} file(s) that `path` names matches it", files.size());
  for (std::size_t i = 0; i < index; ++i) {
    if (std::ranges::any_of(files, [&](const auto& f) {
          return matches_name(pattern, f) && matches_name(config.entities[i].second, f);
        })) {
      why = fmt::format("\"{}\", which comes before it, takes its files", config.entities[i].first);
      break;
    }
  }
  if (pattern.find('/') != std::string::npos) {
    why = "it is a pattern of file names without their folder, which `path` says";
  }
  std::string message = fmt::format(
      "the pattern \"{}\" finds no file: {}; correct the pattern, or leave it out", pattern, why);
  return {Code::NotFound,
          fmt::format("entity \"{}\": {}", name, message),
          "no_file",
          {{fmt::format("entities[\"{}\"]", name), std::move(message), {}}}};
}

}  // namespace

Result<FileSet> find_files(const SourceConfig& config, const PathPolicy& paths) {
  TG_TRY(const auto files, files_of(config, paths));
  FileSet set;
  std::map<std::string, FileEntity> entities;
  std::map<std::string, Error> bad;
  std::set<std::string> found;  // of config.entities
  for (const std::string& path : files) {
    const auto group = std::ranges::find_if(
        config.entities, [&](const auto& e) { return matches_name(e.second, path); });
    const bool grouped = group != config.entities.end();
    if (grouped) found.insert(group->first);
    const std::string name = grouped ? group->first : stem_of(path);
    if (const auto fault = name_fault(name); !fault.empty()) {
      bad.insert_or_assign(escape_bytes(name), bad_name(path, fault));
      continue;
    }
    const auto format = config.format ? config.format : format_of(path);
    if (!format) {
      bad.emplace(name, unknown_format(path));
      continue;
    }
    auto [it, added] = entities.try_emplace(name, FileEntity{name, *format, {}});
    const FileEntity& entity = it->second;
    if (!added && (!grouped || entity.format != *format)) {
      bad.emplace(name, clash(name, entity.files.front(), path));
    }
    it->second.files.push_back(path);
  }
  for (std::size_t i = 0; i < config.entities.size(); ++i) {
    const std::string& name = config.entities[i].first;
    if (!found.contains(name)) bad.emplace(name, nothing_matches(config, i, files));
  }
  for (auto& [name, entity] : entities) {
    if (!bad.contains(name)) set.entities.push_back(std::move(entity));
  }
  for (auto& [name, error] : bad) set.bad.push_back({name, std::move(error)});
  return set;
}

}  // namespace tidegate::engine::file
