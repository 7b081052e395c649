#include "control/api/job_check.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <system_error>

#include "control/api/input.h"
#include "control/api/path_guard.h"
#include "control/model/connector_facts.h"

namespace tidegate::api {
namespace {

namespace fs = std::filesystem;
using model::Connection;
using model::ConnectionKind;

std::string_view local_path(const Connection& c) {
  const auto* path = model::has_local_path(c.type) ? c.config.if_contains("path") : nullptr;
  return path != nullptr && path->is_string() ? std::string_view(path->get_string())
                                              : std::string_view();
}

bool is_pattern(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool is_same(const std::string& a, const std::string& b) {
  std::error_code ec;
  return a == b || (fs::equivalent(a, b, ec) && !ec);
}

// What the file connector calls the entity of a file, where its file in the destination is called
// so, too; "" where another rule of it may name one of the two.
std::string entity_of(const fs::path& path) {
  constexpr std::size_t kPlain = 100;  // bytes; the names of longer ones are cut
  fs::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".GZ") name = name.stem();
  std::string stem = name.stem().string();
  const bool plain = !stem.empty() && stem.size() <= kPlain && stem[0] != '.' &&
                     stem.find('%') == std::string::npos;
  return plain ? stem : std::string();
}

// The extension of the files that a folder gets.
std::string written_extension(const Connection& destination) {
  const auto* format = destination.config.if_contains("format");
  const bool said = format != nullptr && format->is_string() && format->get_string() != "auto";
  return said ? "." + std::string(format->get_string()) : ".csv";
}

// Whether each file that is written would be one of those that are read: `*` and `….csv` find what
// a CSV file of the same stem is called.
bool finds_what_is_written(const fs::path& pattern, const std::string& extension) {
  const std::string name = pattern.filename().string();
  return name == "*" || name.ends_with(extension);
}

// The file or folder that would be read and written.
std::optional<std::string> place_in_folder(const Connection& source, const std::string& folder,
                                           const std::string& extension, const PathGuard& guard) {
  // Entities that are named by hand are files of other names.
  const auto* named = source.config.if_contains("entities");
  if (source.type != "file" || (named != nullptr && !named->is_null())) return std::nullopt;
  fs::path path(local_path(source));
  if (path.has_parent_path() && path.filename().empty()) path = path.parent_path();
  const fs::path above = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (is_pattern(above.native())) return std::nullopt;
  if (is_pattern(path.native())) {
    const auto read = guard.resolve(above.native());
    const bool same = read && finds_what_is_written(path, extension) && is_same(*read, folder);
    return same ? std::optional(*read) : std::nullopt;
  }
  const auto read = guard.resolve(path.native());
  if (!read) return std::nullopt;
  std::error_code ec;
  if (fs::is_directory(*read, ec)) {
    return is_same(*read, folder) ? std::optional(*read) : std::nullopt;
  }
  const std::string entity = entity_of(path);
  const auto written = guard.resolve(fmt::format("{}/{}{}", folder, entity, extension));
  const bool same = !entity.empty() && written && is_same(*read, *written);
  return same ? std::optional(*read) : std::nullopt;
}

// None where only the engine can tell.
std::optional<std::string> shared_place(const Connection& source, const Connection& destination,
                                        const PathGuard& guard) {
  const std::string_view from = local_path(source), to = local_path(destination);
  // Of what looks like a pattern the guard only tells the folder, though a name may look so.
  if (from.empty() || to.empty() || is_pattern(to)) return std::nullopt;
  const auto written = guard.resolve(to);
  if (!written) return std::nullopt;
  if (model::writes_folder(destination.type)) {
    return place_in_folder(source, *written, written_extension(destination), guard);
  }
  if (is_pattern(from)) return std::nullopt;
  const auto read = guard.resolve(from);
  return read && is_same(*read, *written) ? std::optional(*read) : std::nullopt;
}

}  // namespace

std::vector<FieldError> endpoint_problems(const Connection& source, const Connection& destination,
                                          const model::JobSpec& spec, const ApiOptions& options) {
  std::vector<FieldError> errors;
  const PathGuard guard(options.path_roots, options.forbidden_paths);
  if (const auto place = shared_place(source, destination, guard)) {
    errors.push_back(
        {"destinationDatabaseId",
         fmt::format("the destination \"{}\" would write into what the data source \"{}\" reads, "
                     "'{}'; choose another destination, or give it another path",
                     destination.name, source.name, *place),
         std::nullopt});
  }
  for (FieldError& e : model::destination_problems(spec, destination.name, destination.type)) {
    errors.push_back(std::move(e));
  }
  return errors;
}

Status check_endpoints(const Call& call, const model::JobSpec& spec) {
  const auto find = [&](ConnectionKind kind, const ConnectionId& id) {
    return call.store().get_connection(call.workspace, kind, id);
  };
  const auto source = find(ConnectionKind::Source, spec.source_id);
  const auto destination = find(ConnectionKind::Destination, spec.destination_id);
  for (const auto* found : {&source, &destination}) {
    if (*found) continue;
    if (found->error().code == Code::NotFound) return {};
    return std::unexpected(found->error());
  }
  return refuse(endpoint_problems(*source, *destination, spec, call.services.options),
                "the job is not valid; see details", "invalid_job");
}

}  // namespace tidegate::api
