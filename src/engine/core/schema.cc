#include "engine/core/schema.h"

#include <arrow/extension_type.h>
#include <arrow/status.h>
#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>

namespace tidegate::engine {
namespace {

// The name of Arrow's canonical JSON extension type. The plain utf8 storage with this mark is what
// Arrow itself shows a reader that does not know the extension.
constexpr const char* kExtensionKey = "ARROW:extension:name";
constexpr const char* kJson = "arrow.json";

}  // namespace

std::shared_ptr<arrow::Field> mark_json(const std::shared_ptr<arrow::Field>& field) {
  return field->WithMergedMetadata(arrow::key_value_metadata({kExtensionKey}, {kJson}));
}

bool is_json(const arrow::Field& field) {
  if (field.type()->id() == arrow::Type::EXTENSION) {
    return static_cast<const arrow::ExtensionType&>(*field.type()).extension_name() == kJson;
  }
  if (!field.HasMetadata()) return false;
  const auto name = field.metadata()->Get(kExtensionKey);
  return name.ok() && *name == kJson;
}

std::string type_words(const arrow::Field& field) {
  if (is_json(field)) return "JSON";
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
      return kNoValues;
    case arrow::Type::BOOL:
      return "true or false";
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
    case arrow::Type::UINT64:
      return fmt::format("whole number ({})", type.name());
    case arrow::Type::HALF_FLOAT:
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
      return fmt::format("number ({})", type.name());
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      return fmt::format("decimal({},{})", d.precision(), d.scale());
    }
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
      return "text";
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
      return "bytes";
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
      return "date";
    case arrow::Type::TIMESTAMP:
      return static_cast<const arrow::TimestampType&>(type).timezone().empty()
                 ? "timestamp"
                 : "timestamp with time zone";
    default:
      return type.ToString();
  }
}

Error from_arrow(const arrow::Status& status, std::string_view doing) {
  Code code = Code::Invalid;
  if (status.IsCancelled()) code = Code::Cancelled;
  if (status.IsIOError()) code = Code::Unavailable;
  if (status.IsOutOfMemory() || status.IsUnknownError()) code = Code::Internal;
  return {code, fmt::format("{}: {}", doing, status.message()), {}, {}};
}

}  // namespace tidegate::engine
