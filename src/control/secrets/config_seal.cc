#include "control/secrets/config_seal.h"

#include <fmt/format.h>

#include "base/json.h"
#include "control/model/connection_json.h"

namespace tidegate::secrets {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::string_view kRoot = "config";

// A place is the connection's id and the member's path; NUL cannot occur in either.
std::string associated_data(const ConnectionId& id, std::string_view path) {
  std::string data = id.str();
  data.push_back('\0');
  data.append(path);
  return data;
}

bool marked_secret(const object& schema) {
  const value* mark = schema.if_contains("secret");
  return mark != nullptr && mark->is_bool() && mark->get_bool();
}

// The subschemas that may describe one value: itself and its alternatives.
void alternatives(const object& schema, std::vector<const object*>& out) {
  out.push_back(&schema);
  for (const std::string_view key : {"anyOf", "oneOf", "allOf"}) {
    const value* list = schema.if_contains(key);
    if (list == nullptr || !list->is_array()) continue;
    for (const value& item : list->get_array()) {
      if (item.is_object()) alternatives(item.get_object(), out);
    }
  }
}

using Schemas = std::vector<const object*>;

Schemas below(const Schemas& schemas, std::string_view keyword,
              std::optional<std::string_view> name) {
  Schemas out;
  for (const object* schema : schemas) {
    const value* v = schema->if_contains(keyword);
    if (v != nullptr && v->is_object() && name) v = v->get_object().if_contains(*name);
    if (v != nullptr && v->is_object()) alternatives(v->get_object(), out);
  }
  return out;
}

struct Sealer {
  const KeyRing& keys;
  Rng& rng;
  const ConnectionId& id;
  std::vector<FieldError>& errors;

  value seal(const Schemas& schemas, const value& plain, const value* previous,
             const std::string& path) {
    bool secret = false;
    for (const object* s : schemas) secret = secret || marked_secret(*s);
    if (secret) return seal_secret(plain, previous, path);
    if (plain.is_object()) {
      object out;
      for (const auto& member : plain.get_object()) {
        Schemas next = below(schemas, "properties", member.key());
        if (next.empty()) next = below(schemas, "additionalProperties", std::nullopt);
        const object* old = previous == nullptr ? nullptr : previous->if_object();
        out[member.key()] =
            seal(next, member.value(), old == nullptr ? nullptr : old->if_contains(member.key()),
                 fmt::format("{}.{}", path, std::string_view(member.key())));
      }
      return out;
    }
    if (plain.is_array()) {
      boost::json::array out;
      const Schemas next = below(schemas, "items", std::nullopt);
      const auto* old = previous == nullptr ? nullptr : previous->if_array();
      for (std::size_t i = 0; i < plain.get_array().size(); ++i) {
        out.push_back(seal(next, plain.get_array()[i],
                           old != nullptr && i < old->size() ? &(*old)[i] : nullptr,
                           fmt::format("{}[{}]", path, i)));
      }
      return out;
    }
    return plain;
  }

 private:
  value seal_secret(const value& plain, const value* previous, const std::string& path) {
    if (plain.is_string() && plain.get_string() == kMasked) {
      if (previous != nullptr && model::is_sealed(*previous)) return *previous;
      errors.push_back({path,
                        "is \"***\", which stands for the stored value, but none is stored; give "
                        "the value",
                        std::nullopt});
      return nullptr;
    }
    if (plain.is_null()) return nullptr;
    const Secret text(json::write(plain));
    return object{{model::kSealedKey, keys.seal(text.reveal(), associated_data(id, path), rng)}};
  }
};

// Calls f(value, path) for every sealed value at or below `v`, which f may replace.
template <class F>
Status each_sealed(value& v, const std::string& path, F& f) {
  if (model::is_sealed(v)) return f(v, path);
  if (v.is_object()) {
    for (auto& member : v.get_object()) {
      TG_CHECK(each_sealed(member.value(),
                           fmt::format("{}.{}", path, std::string_view(member.key())), f));
    }
  } else if (v.is_array()) {
    for (std::size_t i = 0; i < v.get_array().size(); ++i) {
      TG_CHECK(each_sealed(v.get_array()[i], fmt::format("{}[{}]", path, i), f));
    }
  }
  return {};
}

Result<Secret> open_value(const KeyRing& keys, const ConnectionId& id, const value& v,
                          const std::string& path) {
  auto text =
      keys.open(v.get_object().at(model::kSealedKey).get_string(), associated_data(id, path));
  if (!text) text.error().message = fmt::format("{}: {}", path, text.error().message);
  return text;
}

}  // namespace

object seal_config(const KeyRing& keys, Rng& rng, const ConnectionId& id, const object& spec,
                   const object& plain, const object* previous, std::vector<FieldError>& errors) {
  Sealer sealer{keys, rng, id, errors};
  Schemas root;
  alternatives(spec, root);
  const value old = previous == nullptr ? value(nullptr) : value(*previous);
  const value sealed =
      sealer.seal(root, plain, previous == nullptr ? nullptr : &old, std::string(kRoot));
  return sealed.is_object() ? sealed.get_object() : object{};
}

Result<object> open_config(const KeyRing& keys, const ConnectionId& id, const object& stored) {
  value v = stored;
  auto open_one = [&](value& sealed, const std::string& path) -> Status {
    TG_TRY(const Secret text, open_value(keys, id, sealed, path));
    TG_TRY(sealed, json::parse(text.reveal()));
    return {};
  };
  TG_CHECK(each_sealed(v, std::string(kRoot), open_one));
  return std::move(v.get_object());
}

Result<bool> rotate_config(const KeyRing& keys, Rng& rng, const ConnectionId& id, object& stored) {
  value v = stored;
  bool changed = false;
  auto rotate_one = [&](value& sealed, const std::string& path) -> Status {
    value& text = sealed.get_object().at(model::kSealedKey);
    if (keys.is_current(text.get_string())) return {};
    TG_TRY(const Secret plain, open_value(keys, id, sealed, path));
    text = keys.seal(plain.reveal(), associated_data(id, path), rng);
    changed = true;
    return {};
  };
  TG_CHECK(each_sealed(v, std::string(kRoot), rotate_one));
  if (changed) stored = std::move(v.get_object());
  return changed;
}

Result<protocol::Endpoint> EndpointResolver::open(const model::Connection& c) const {
  TG_TRY(object config, open_config(keys_, c.id, c.config));
  return protocol::Endpoint{c.type, std::move(config)};
}

}  // namespace tidegate::secrets
