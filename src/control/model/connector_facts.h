#pragma once
// What server and CLI have to know of connectors, none of which they link, beside their specs.

#include <string>
#include <string_view>

#include "protocol/protocol.h"

namespace tidegate::model {

// Whether `config.path` is a place in the file system. As a destination, that place has one writer.
constexpr bool has_local_path(std::string_view type) {
  return type == "sqlite" || type == "duckdb" || type == "file";
}

// Whether, as a destination, `config.path` is a folder with one CSV file for each entity.
constexpr bool writes_folder(std::string_view type) { return type == "file"; }

// Why no job of that mode can write to the destination `name` of that type, with the remedy; "": it
// can, as far as it is known here.
std::string mode_problem(protocol::SyncMode mode, std::string_view name, std::string_view type);

}  // namespace tidegate::model
