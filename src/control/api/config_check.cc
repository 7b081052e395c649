#include "control/api/config_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "base/json.h"
#include "base/text.h"

namespace tidegate::api {
namespace {

using boost::json::object;
using boost::json::value;

const object* object_at(const object& o, std::string_view key) {
  const value* v = o.if_contains(key);
  return v == nullptr ? nullptr : v->if_object();
}

bool names_role(const object& property, std::string_view role) {
  const value* roles = property.if_contains("roles");
  if (roles == nullptr || !roles->is_array()) return true;
  return std::ranges::any_of(
      roles->get_array(), [&](const value& r) { return r.is_string() && r.get_string() == role; });
}

std::string_view role_of(model::ConnectionKind kind) {
  return model::kConnectionKindNames[static_cast<std::size_t>(kind)];
}

bool of_type(const value& v, std::string_view type) {
  if (type == "string") return v.is_string();
  if (type == "boolean") return v.is_bool();
  if (type == "object") return v.is_object();
  if (type == "array") return v.is_array();
  if (type == "null") return v.is_null();
  if (type == "integer") return v.is_int64() || v.is_uint64();
  return type != "number" || v.is_number();
}

std::string_view words_for(std::string_view type) {
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"string", "text"},  {"boolean", "true or false"},  {"object", "an object"},
      {"array", "a list"}, {"integer", "a whole number"}, {"number", "a number"}};
  for (const auto& [name, words] : kWords) {
    if (name == type) return words;
  }
  return type;
}

// What our own words are better for than a validator's: names, types, choices.
class NameCheck {
 public:
  explicit NameCheck(std::vector<FieldError>& errors) : errors_(errors) {}

  void check(const object& schema, const value& v, const std::string& path) {
    if (const value* type = schema.if_contains("type"); type != nullptr && type->is_string()) {
      const std::string_view name = type->get_string();
      if (!of_type(v, name)) {
        return add(path, fmt::format("must be {}, not {}", words_for(name), json::type_name(v)));
      }
    }
    if (const value* choices = schema.if_contains("enum");
        choices != nullptr && choices->is_array()) {
      if (!std::ranges::count(choices->get_array(), v))
        return add(path, one_of(choices->get_array()));
    }
    if (v.is_string()) check_text(schema, v.get_string(), path);
    if (v.is_object()) check_members(schema, v.get_object(), path);
    if (const object* items = object_at(schema, "items"); items != nullptr && v.is_array()) {
      for (std::size_t i = 0; i < v.get_array().size(); ++i) {
        check(*items, v.get_array()[i], fmt::format("{}[{}]", path, i));
      }
    }
  }

 private:
  void add(std::string field, std::string message) {
    errors_.push_back({std::move(field), std::move(message), std::nullopt});
  }

  // `patternWords` says what `pattern` asks for: a validator could only show the expression.
  void check_text(const object& schema, std::string_view text, const std::string& path) {
    if (text.find('\0') != std::string_view::npos) {
      return add(path, "holds a NUL character; remove it");
    }
    if (const value* least = schema.if_contains("minLength");
        least != nullptr && least->is_int64() && text.empty() && least->get_int64() > 0) {
      return add(path, "is empty; give a value");
    }
    if (const value* most = schema.if_contains("maxLength");
        most != nullptr && most->is_int64() && std::ssize(text) > most->get_int64() * 4) {
      return add(path, fmt::format("is too long; at most {} characters", most->get_int64()));
    }
    const value* pattern = schema.if_contains("pattern");
    const value* words = schema.if_contains("patternWords");
    if (pattern == nullptr || !pattern->is_string() || words == nullptr || !words->is_string()) {
      return;
    }
    const std::regex expression{std::string(std::string_view(pattern->get_string()))};
    if (!std::regex_search(text.begin(), text.end(), expression)) {
      add(path, fmt::format("must be {}", std::string_view(words->get_string())));
    }
  }

  static std::string one_of(const boost::json::array& choices) {
    std::string text = "must be one of";
    for (const value& c : choices) text += (&c == &choices.front() ? " " : ", ") + json::write(c);
    return text;
  }

  void check_members(const object& schema, const object& o, const std::string& path) {
    static const object kNone;
    const object* properties = object_at(schema, "properties");
    if (properties == nullptr) properties = &kNone;
    if (const value* required = schema.if_contains("required");
        required != nullptr && required->is_array()) {
      for (const value& name : required->get_array()) {
        if (name.is_string() && !o.contains(name.get_string())) {
          add(fmt::format("{}.{}", path, std::string_view(name.get_string())), "is missing");
        }
      }
    }
    const value* more = schema.if_contains("additionalProperties");
    const bool closed = more != nullptr && more->is_bool() && !more->get_bool();
    for (const auto& member : o) {
      const std::string where = fmt::format("{}.{}", path, std::string_view(member.key()));
      if (const object* sub = object_at(*properties, member.key())) {
        check(*sub, member.value(), where);
      } else if (closed) {
        add(where, unknown(*properties, member.key()));
      } else if (more != nullptr && more->is_object()) {
        check(more->get_object(), member.value(), where);
      }
    }
  }

  static std::string unknown(const object& properties, std::string_view key) {
    std::vector<std::string_view> names;
    for (const auto& p : properties) names.push_back(p.key());
    const std::string_view near = json::nearest(key, names);
    if (!near.empty()) return fmt::format("is not a known field; did you mean '{}'?", near);
    return fmt::format("is not a known field; there {} {}", names.size() == 1 ? "is" : "are",
                       names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
  }

  std::vector<FieldError>& errors_;
};

// valijson's `<root>` `[a]` `[0]` as `path.a[0]`.
std::string field_of(const std::vector<std::string>& context, const std::string& path) {
  std::string field = path;
  for (std::size_t i = 1; i < context.size(); ++i) {
    const std::string_view part = context[i];
    const std::string_view name = part.size() > 2 ? part.substr(1, part.size() - 2) : part;
    const bool index =
        std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; });
    field += index ? fmt::format("[{}]", name) : fmt::format(".{}", name);
  }
  return field;
}

// Everything else a schema may ask for. A rule that our own words have spoken of already, and the
// messages that only say "something below failed", are left out.
void check_rules(const object& spec, const object& config, const std::string& path,
                 std::vector<FieldError>& errors) {
  const value schema_value(spec);
  const value config_value(config);
  const valijson::adapters::BoostJsonAdapter schema_adapter(schema_value);
  const valijson::adapters::BoostJsonAdapter config_adapter(config_value);
  valijson::Schema schema;
  valijson::SchemaParser().populateSchema(schema_adapter, schema);
  valijson::ValidationResults results;
  valijson::Validator(valijson::Validator::kStrongTypes).validate(schema, config_adapter, &results);
  valijson::ValidationResults::Error e;
  while (results.popError(e)) {
    if (e.description.starts_with("Failed to validate") ||
        e.description.starts_with("Missing required") ||
        e.description.starts_with("Object contains a")) {
      continue;
    }
    std::string field = field_of(e.context, path);
    if (std::ranges::find(errors, field, &FieldError::field) != errors.end()) continue;
    if (!e.description.empty())
      e.description[0] = static_cast<char>(std::tolower(e.description[0]));
    errors.push_back({std::move(field), std::move(e.description), std::nullopt});
  }
}

// The schema without the properties that only the other role has.
object for_role(const object& spec, std::string_view role) {
  object copy = spec;
  value* properties = copy.if_contains("properties");
  if (properties == nullptr || !properties->is_object()) return copy;
  object kept;
  for (const auto& p : properties->get_object()) {
    const object* property = p.value().if_object();
    if (property == nullptr || names_role(*property, role)) kept[p.key()] = p.value();
  }
  *properties = std::move(kept);
  return copy;
}

std::unexpected<Error> unknown_type(std::string_view type,
                                    const std::vector<std::string_view>& known,
                                    model::ConnectionKind kind) {
  const std::string_view near = json::nearest(type, known);
  return fail(Error{Code::Invalid,
                    "the connection is not valid; see details",
                    "invalid_connection",
                    {{"type",
                      fmt::format("there is no {} connector '{}'; known are {}{}", role_of(kind),
                                  clip(type, 100), fmt::join(known, ", "),
                                  near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)),
                      std::nullopt}}});
}

}  // namespace

Result<object> connector_spec(Engine& engine, std::string_view type, model::ConnectionKind kind) {
  static const boost::json::array kNone;
  TG_TRY(const auto answer, engine.spec());
  const value* list =
      answer->is_object() ? answer->get_object().if_contains("connectors") : nullptr;
  const auto* connectors = list == nullptr ? nullptr : list->if_array();
  std::vector<std::string_view> known;
  for (const value& item : connectors == nullptr ? kNone : *connectors) {
    const object* connector = item.if_object();
    const value* name = connector == nullptr ? nullptr : connector->if_contains("name");
    const object* spec = connector == nullptr ? nullptr : object_at(*connector, "spec");
    if (name == nullptr || !name->is_string() || spec == nullptr ||
        !names_role(*connector, role_of(kind))) {
      continue;
    }
    known.push_back(name->get_string());
    if (known.back() == type) return for_role(*spec, role_of(kind));
  }
  return unknown_type(type, known, kind);
}

void check_config(const object& spec, const object& config, const std::string& path,
                  std::vector<FieldError>& errors) {
  NameCheck(errors).check(spec, config, path);
  try {
    check_rules(spec, config, path, errors);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // A schema that valijson cannot read: the engine checks the configuration again before it uses
    // it.
  }
}

}  // namespace tidegate::api
