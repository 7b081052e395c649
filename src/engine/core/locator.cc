#include "engine/core/locator.h"

#include <arrow/record_batch.h>
#include <fmt/format.h>

#include "base/text.h"
#include "engine/core/rows.h"
#include "protocol/fields.h"

namespace tidegate::engine {

std::string key_locator(const std::string& entity, const std::vector<std::string>& key,
                        const arrow::RecordBatch& batch, std::int64_t row) {
  constexpr std::size_t kShown = 60;  // bytes
  std::string text;
  for (const auto& name : key) {
    const auto column = batch.GetColumnByName(name);
    if (column == nullptr) continue;
    const std::string value = value_text(*column, row).value_or("NULL");
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name,
                        protocol::to_utf8(clip(value, kShown)));
  }
  return text.empty() ? entity : fmt::format("{} ({})", entity, text);
}

}  // namespace tidegate::engine
