#include "engine/connectors/duckdb/api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace tidegate::engine::duckdb {
namespace {

constexpr const char* kName = "libduckdb.so";
constexpr const char* kVariable = "TIDEGATE_DUCKDB_LIBRARY";
constexpr const char* kRemedy =
    "`./dev setup` puts it into .tools/duckdb; or take libduckdb.so of version 1.5 from "
    "libduckdb-linux-amd64.zip (duckdb.org) or from the npm package "
    "@duckdb/node-bindings-linux-x64, and name the file in TIDEGATE_DUCKDB_LIBRARY";

std::string last_error() {
  const char* text = dlerror();
  return text == nullptr ? "" : text;
}

Result<Api> load() {
  const char* named = std::getenv(kVariable);
  const std::string file = named != nullptr && *named != '\0' ? named : kName;
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(
        Code::Unsupported,
        fmt::format("DuckDB's library was not found: {} ({}). {}", file, last_error(), kRemedy),
        "duckdb_library");
  }
  Api api;
  std::string missing;
#define TIDEGATE_DUCKDB_LOAD(name, result, arguments)                                \
  api.name = reinterpret_cast<result(*) arguments>(dlsym(library, "duckdb_" #name)); \
  if (api.name == nullptr) missing += std::string(missing.empty() ? "" : ", ") + #name;
  TIDEGATE_DUCKDB_FUNCTIONS(TIDEGATE_DUCKDB_LOAD)
#undef TIDEGATE_DUCKDB_LOAD
  if (missing.empty()) return api;
  dlclose(library);
  return fail(Code::Unsupported,
              fmt::format("{} is no DuckDB library of version 1.5: it lacks {}. {}", file, missing,
                          kRemedy),
              "duckdb_library");
}

}  // namespace

Result<const Api*> api() {
  static const Result<Api> kApi = load();
  if (!kApi) return fail(kApi.error());
  return &*kApi;
}

}  // namespace tidegate::engine::duckdb
