#include "engine/connectors/file/config.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/json.h"

namespace tidegate::engine::file {

// One document for both roles; `roles` tells which properties belong to which.
const std::string_view kSpec = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Files",
  "type": "object",
  "additionalProperties": false,
  "required": ["path"],
  "properties": {
    "path": {"type": "string", "title": "Path", "minLength": 1, "maxLength": 4096,
      "description": "Source: a file, a folder, or a pattern such as data/*.csv. Destination: the folder to write into."},
    "format": {"type": "string", "title": "Format", "enum": ["auto", "csv", "jsonl", "parquet"], "default": "auto",
      "description": "auto goes by each file's extension, .gz left out. A destination writes csv, jsonl or parquet; auto is csv."},
    "delimiter": {"type": "string", "title": "Delimiter", "minLength": 1, "maxLength": 2, "default": ",", "roles": ["source"],
      "pattern": "^([\\x01-\\x09\\x0b\\x0c\\x0e-\\x7f]|\\\\t)$", "patternWords": "one ASCII character, such as \",\", \";\" or \\t",
      "description": "CSV: one ASCII character, or \\t. Files named .tsv have a tab unless it is set."},
    "quote": {"type": "string", "title": "Quote", "maxLength": 1, "default": "\"", "roles": ["source"],
      "description": "CSV: one ASCII character; empty: quotes mean nothing."},
    "header": {"type": "boolean", "title": "Header", "default": true, "roles": ["source"],
      "description": "CSV: the first row holds the names. Else columns are column1, column2, …"},
    "nullValues": {"type": "array", "title": "Null values", "maxItems": 20, "items": {"type": "string", "maxLength": 64}, "roles": ["source"],
      "description": "CSV: unquoted texts that mean NULL, such as NA. An empty unquoted field always does; \"\" is an empty text."},
    "types": {"type": "object", "title": "Types", "roles": ["source"],
      "description": "Column to type (text, integer, double, boolean, date, timestamp, timestamptz, json, decimal(p,s)), or entity to such a map. Others are inferred from the whole file.",
      "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}},
    "entities": {"type": "object", "title": "Entities", "roles": ["source"], "additionalProperties": {"type": "string", "minLength": 1},
      "description": "Entity to a pattern of file names: those files are one entity. Others are one entity each, named after the file."}
  }
})json";

namespace {

constexpr std::string_view kFormatWords[] = {"auto", "csv", "jsonl", "parquet"};

// One ASCII character that can stand in a CSV dialect.
std::optional<char> one_char(const std::string& text) {
  if (text == "\\t") return '\t';
  if (text.size() != 1) return std::nullopt;
  const char c = text[0];
  if (static_cast<signed char>(c) <= 0 || c == '\n' || c == '\r') return std::nullopt;
  return c;
}

void check_type(const std::string& field, const boost::json::value& type,
                std::map<std::string, std::string>& out, const std::string& column,
                std::vector<FieldError>& errors) {
  if (!type.is_string() || !field_of_type("x", type.as_string())) {
    errors.push_back({field, fmt::format("must be {}", kTypeNames), {}});
    return;
  }
  out[column] = std::string(type.as_string());
}

void read_types(const boost::json::object& types, SourceConfig& out,
                std::vector<FieldError>& errors) {
  for (const auto& [key, value] : types) {
    const std::string name(key), field = fmt::format("types[\"{}\"]", name);
    if (!value.is_object()) {
      check_type(field, value, out.types, name, errors);
      continue;
    }
    for (const auto& [column, type] : value.as_object()) {
      check_type(fmt::format("{}[\"{}\"]", field, std::string_view(column)), type,
                 out.entity_types[name], std::string(column), errors);
    }
  }
}

void read_dialect(json::Reader& reader, SourceConfig& out) {
  if (const auto text = reader.text("delimiter", {.min = 1, .max = 2})) {
    out.delimiter = one_char(*text);
    if (!out.delimiter) {
      reader.error("delimiter", "must be one ASCII character, such as \",\", \";\" or \"\\t\"");
    }
    out.csv.dialect.delimiter = out.delimiter.value_or(',');
  }
  if (const auto text = reader.text("quote", {.min = 0, .max = 1})) {
    const auto c = text->empty() ? std::optional<char>('\0') : one_char(*text);
    if (!c) reader.error("quote", "must be one ASCII character, or empty for none");
    out.csv.dialect.quote = c.value_or('"');
  }
  if (out.csv.dialect.quote == out.csv.dialect.delimiter) {
    reader.error("quote", "must differ from the delimiter");
  }
  out.csv.header = reader.boolean("header").value_or(true);
  if (auto words = reader.texts("nullValues", 20, {.min = 0, .max = 64})) {
    out.csv.nulls = NullWords(std::move(*words));
  }
}

}  // namespace

Result<SourceConfig> parse_source(const boost::json::object& config) {
  SourceConfig out;
  std::vector<FieldError> errors;
  json::Reader reader(config, "", errors);
  out.path = reader.text("path", {.min = 1, .max = 4096, .required = true}).value_or("");
  if (const auto format = reader.one_of("format", kFormatWords); format && *format > 0) {
    out.format = static_cast<Format>(*format - 1);
  }
  read_dialect(reader, out);
  if (const auto* types = reader.child("types")) read_types(*types, out, errors);
  if (const auto* entities = reader.child("entities")) {
    for (const auto& [name, pattern] : *entities) {
      if (name.empty() || !pattern.is_string() || pattern.as_string().empty()) {
        errors.push_back({fmt::format("entities[\"{}\"]", std::string_view(name)),
                          "must map a name to a pattern of file names, such as \"orders-*.csv\"",
                          {}});
        continue;
      }
      out.entities.emplace_back(std::string(name), std::string(pattern.as_string()));
    }
  }
  reader.finish();
  if (!errors.empty()) {
    return fail(Error{Code::Invalid, "the configuration of the file source is wrong", "bad_config",
                      errors});
  }
  return out;
}

std::shared_ptr<arrow::Field> SourceConfig::declared(const std::string& entity,
                                                     const std::string& column) const {
  if (const auto own = entity_types.find(entity); own != entity_types.end()) {
    const auto it = own->second.find(column);
    if (it != own->second.end()) return field_of_type(column, it->second);
  }
  const auto it = types.find(column);
  return it == types.end() ? nullptr : field_of_type(column, it->second);
}

}  // namespace tidegate::engine::file
