#include "engine/core/locator.h"

#include <arrow/record_batch.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "engine/core/rows.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

// `value`: the text of a column, nullopt when the row does not have it.
template <class Value>
std::string located(const std::string& entity, const std::vector<std::string>& key,
                    const Value& value) {
  constexpr std::size_t kShown = 60;  // bytes
  std::string out;
  for (const auto& name : key) {
    const std::optional<std::string> text = value(name);
    if (!text) continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : ", ", name,
                       protocol::to_utf8(clip(*text, kShown)));
  }
  return out.empty() ? entity : fmt::format("{} ({})", entity, out);
}

}  // namespace

std::string key_locator(const std::string& entity, const std::vector<std::string>& key,
                        const arrow::RecordBatch& batch, std::int64_t row) {
  return located(entity, key, [&](const std::string& name) -> std::optional<std::string> {
    const auto column = batch.GetColumnByName(name);
    if (column == nullptr) return std::nullopt;
    return value_text(*column, row).value_or("NULL");
  });
}

std::string key_locator(const std::string& entity, const std::vector<std::string>& key,
                        const boost::json::object& row) {
  return located(entity, key, [&](const std::string& name) -> std::optional<std::string> {
    const auto* value = row.if_contains(name);
    if (value == nullptr) return std::nullopt;
    return value->is_string() ? std::string(value->get_string()) : json::write(*value);
  });
}

}  // namespace tidegate::engine
