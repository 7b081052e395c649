#pragma once
// What server and CLI have to know of connectors, none of which they link, beside their specs.

#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/model/job.h"

namespace tidegate::model {

// Whether `config.path` is a place in the file system. As a destination, that place has one writer.
constexpr bool has_local_path(std::string_view type) {
  return type == "sqlite" || type == "duckdb" || type == "file";
}

// Whether, as a destination, `config.path` is a folder with one file for each entity, of
// the extension that `config.format` says (absent or `auto`: csv).
constexpr bool writes_folder(std::string_view type) { return type == "file"; }

// What of the job no destination of that type can do, as far as it is known here: the fields, with
// the remedy. `name`: what the destination is called.
std::vector<FieldError> destination_problems(const JobSpec& job, std::string_view name,
                                             std::string_view type);

}  // namespace tidegate::model
