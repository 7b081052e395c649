#pragma once
// YAML as JSON values, and back. yaml-cpp stays in yaml.cc.

#include <boost/json/value.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::cli {

using EnvLookup = std::function<std::optional<std::string>(const std::string&)>;

// One YAML document (JSON is a subset) by the core schema: null, booleans, integers, floats, text.
// Malformed with line and column: syntax, a key given twice, a key that is no text, more than 64
// levels, anchors that expand beyond a million values. `origin` names the file in messages.
Result<boost::json::value> read_yaml(std::string_view text, std::string_view origin);

// Replaces ${NAME} and ${NAME:-default} in every text; $${ stands for a literal ${. Invalid with
// one detail for each variable that is not set, at its place in the document.
Result<boost::json::value> expand_env(boost::json::value document, const EnvLookup& env);

std::string write_yaml(const boost::json::value& value);

}  // namespace tidegate::cli
