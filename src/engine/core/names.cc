#include "engine/core/names.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "engine/core/context.h"

namespace tidegate::engine {
namespace {

// What is wrong with the entity; "": nothing.
std::string fault_of(const EntityInfo& entity) {
  if (const auto fault = name_fault(entity.name); !fault.empty()) {
    return fmt::format("the name \"{}\" {}; rename it in the source", escape_bytes(entity.name),
                       fault);
  }
  for (int i = 0; i < entity.schema->num_fields(); ++i) {
    const std::string& name = entity.schema->field(i)->name();
    if (name_fault(name).empty()) continue;
    return fmt::format("entity \"{}\": {} in the source", entity.name,
                       bad_column(static_cast<std::size_t>(i) + 1, name));
  }
  return {};
}

}  // namespace

std::string_view name_fault(std::string_view name) {
  if (!is_utf8(name)) return "is not valid UTF-8";
  if (name.find('\0') != std::string_view::npos) return "holds a NUL character";
  return {};
}

std::string bad_column(std::size_t number, std::string_view name) {
  return fmt::format("column {} is named \"{}\", which {}; rename it", number, escape_bytes(name),
                     name_fault(name));
}

void refuse_bad_names(Catalog& catalog) {
  for (const EntityInfo& entity : catalog.entities) {
    if (std::string fault = fault_of(entity); !fault.empty()) {
      catalog.bad.push_back({escape_bytes(entity.name), data_error(std::move(fault))});
    }
  }
  std::erase_if(catalog.entities, [](const EntityInfo& e) { return !fault_of(e).empty(); });
  for (BadEntity& bad : catalog.bad) bad.name = escape_bytes(bad.name);
  for (std::string& name : catalog.others) name = escape_bytes(name);
}

}  // namespace tidegate::engine
