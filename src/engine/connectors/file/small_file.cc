#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/json/object.hpp>
#include <cerrno>
#include <cstring>

#include "base/hash.h"
#include "base/json.h"
#include "engine/connectors/file/table_folder.h"

namespace tidegate::engine::file {
namespace {

constexpr std::size_t kMaxName =
    200;  // bytes; NAME_MAX is 255, and an extension and a hash are added
constexpr json::Limits kStateLimits{.max_bytes = 256 << 20, .max_depth = 8};

std::string text_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->as_string()) : std::string();
}
std::int64_t number_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_int64() ? v->as_int64() : 0;
}

Result<json::object> object_of(std::string_view text, const std::string& path) {
  auto parsed = json::parse(text, kStateLimits);
  if (parsed && parsed->is_object()) return std::move(parsed->as_object());
  return fail(
      Code::Internal,
      fmt::format("'{}' is damaged; restore the folder from a backup, or remove it and reset "
                  "the job",
                  path));
}

}  // namespace

std::unexpected<Error> io_error(std::string_view doing, const std::string& path, int err) {
  const char* remedy = "try again";
  Code code = Code::Unavailable;
  if (err == ENOSPC || err == EDQUOT) remedy = "free some space";
  if (err == EACCES || err == EPERM || err == EROFS) {
    code = Code::Forbidden;
    remedy = "grant this user write access";
  }
  if (err == ELOOP || err == ENOTDIR) {
    code = Code::Forbidden;
    remedy = "something else stands where the destination keeps its folder: move it away";
  }
  return fail(code, fmt::format("cannot {} '{}': {}; {}", doing, path, std::strerror(err), remedy));
}

std::unexpected<Error> changed_by_somebody(const std::string& path, std::string_view what) {
  return fail(
      Code::Internal,
      fmt::format("'{}' was changed by somebody: {}; restore it from a backup, or reset the "
                  "job (--reset, or `tidegate jobs reset`) to write it anew",
                  path, what));
}

Result<std::string> table_name(const std::string& entity) {
  std::string out;
  for (const char c : entity) {
    const auto u = static_cast<unsigned char>(c);
    const bool first_dot = out.empty() && c == '.';
    if (u < 0x20 || u == 0x7F || c == '/' || c == '%' || first_dot) {
      out += fmt::format("%{:02X}", u);
    } else {
      out += c;
    }
  }
  if (out.empty() || out.starts_with("_tidegate")) {
    return fail(Code::Invalid,
                fmt::format("the entity \"{}\" cannot be a file: the name is empty or reserved; "
                            "rename it in the source",
                            entity));
  }
  if (out.size() > kMaxName) {
    std::size_t cut = kMaxName - 17;
    while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xC0) == 0x80) --cut;
    out = fmt::format("{}-{:016x}", out.substr(0, cut), fnv1a(entity));
  }
  return out;
}

std::string encode(const TableState& s) {
  json::array columns;
  for (const auto& c : s.columns) {
    columns.push_back(json::object{{"name", c.name}, {"type", c.type}});
  }
  return json::write(json::object{{"format", 1},
                                  {"job", s.job},
                                  {"entity", s.entity},
                                  {"epoch", s.epoch},
                                  {"sequence", s.sequence},
                                  {"state", s.state},
                                  {"hasData", s.has_data},
                                  {"fileFormat", name_of(s.format)},
                                  {"types", s.types},
                                  {"rows", s.rows},
                                  {"columns", std::move(columns)}});
}

Result<TableState> decode_table_state(std::string_view text, const std::string& path) {
  TG_TRY(const json::object o, object_of(text, path));
  TableState s{.job = text_of(o, "job"),
               .entity = text_of(o, "entity"),
               .epoch = number_of(o, "epoch"),
               .sequence = number_of(o, "sequence"),
               .state = text_of(o, "state"),
               .rows = number_of(o, "rows"),
               .columns = {},
               .types = text_of(o, "types")};
  // Written by a version that knew CSV only, it has none.
  for (const Format format : kFormats) {
    if (text_of(o, "fileFormat") == name_of(format)) s.format = format;
  }
  const auto* data = o.if_contains("hasData");
  s.has_data = data != nullptr && data->is_bool() && data->as_bool();
  if (const auto* columns = o.if_contains("columns"); columns != nullptr && columns->is_array()) {
    for (const auto& c : columns->as_array()) {
      if (!c.is_object()) continue;
      s.columns.push_back({text_of(c.as_object(), "name"), text_of(c.as_object(), "type")});
    }
  }
  return s;
}

Result<std::optional<TableClaim>> TableFolder::claim() const {
  const std::string file = path() + "/claim.json";
  TG_TRY(const auto text, read_small(dir_.get(), "claim.json", file));
  if (!text) return std::nullopt;
  TG_TRY(const json::object o, object_of(*text, file));
  return TableClaim{text_of(o, "job"), text_of(o, "entity"), number_of(o, "fence"),
                    text_of(o, "session")};
}

Status TableFolder::set_claim(const TableClaim& c) const {
  return write_small(
      dir_.get(), "claim.json",
      json::write(json::object{
          {"job", c.job}, {"entity", c.entity}, {"fence", c.fence}, {"session", c.session}}),
      path() + "/claim.json");
}

Result<std::optional<std::string>> read_small(int dir, const std::string& name,
                                              const std::string& path) {
  const Fd fd(openat(dir, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    return io_error("read", path, errno);
  }
  std::string out;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("read", path, errno);
    if (n == 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Status write_small(int dir, const std::string& name, std::string_view text,
                   const std::string& path) {
  const std::string temporary = name + ".new";
  const Fd fd(
      openat(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_error("write", path, errno);
  const auto fill = [&]() -> Status {
    while (!text.empty()) {
      const ssize_t n = write(fd.get(), text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return io_error("write", path, errno);
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (fsync(fd.get()) == 0 && renameat(dir, temporary.c_str(), dir, name.c_str()) == 0) return {};
    return io_error("write", path, errno);
  };
  if (const Status filled = fill(); !filled) {
    unlinkat(dir, temporary.c_str(), 0);  // a full disk leaves none of ours
    return filled;
  }
  if (fsync(dir) != 0) return io_error("write", path, errno);
  return {};
}

}  // namespace tidegate::engine::file
