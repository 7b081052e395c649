#include "engine/connectors/file/parquet_types.h"

#include <arrow/array.h>
#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_decimal.h>
#include <arrow/extension_type.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>

#include "engine/connectors/file/value_text.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

// Calls `append(row)` for every value; NULL stays NULL.
template <class Builder, class Append>
arrow::Result<std::shared_ptr<arrow::Array>> each(Builder& builder, const arrow::Array& array,
                                                  const Append& append) {
  for (std::int64_t i = 0; i < array.length(); ++i) {
    ARROW_RETURN_NOT_OK(array.IsNull(i) ? builder.AppendNull() : append(i));
  }
  return builder.Finish();
}

arrow::Result<std::shared_ptr<arrow::Array>> as_text(const arrow::Array& array, bool json) {
  arrow::StringBuilder builder;
  std::string text;
  return each(builder, array, [&](std::int64_t i) {
    text.clear();
    json ? append_json(text, array, i) : append_text(text, array, i);
    return builder.Append(text);
  });
}

arrow::Result<std::shared_ptr<arrow::Array>> as_bytes(const arrow::Array& array) {
  arrow::BinaryBuilder builder;
  return each(builder, array, [&](std::int64_t i) {
    return array.type_id() == arrow::Type::LARGE_BINARY
               ? builder.Append(static_cast<const arrow::LargeBinaryArray&>(array).GetView(i))
               : builder.Append(static_cast<const arrow::BinaryViewArray&>(array).GetView(i));
  });
}

arrow::Result<std::shared_ptr<arrow::Array>> as_decimal128(
    const arrow::Array& array, const std::shared_ptr<arrow::DataType>& type) {
  arrow::Decimal128Builder builder(type);
  return each(builder, array, [&](std::int64_t i) {
    const std::int64_t digits =
        array.type_id() == arrow::Type::DECIMAL32
            ? std::int64_t{arrow::Decimal32(
                               static_cast<const arrow::Decimal32Array&>(array).GetValue(i))
                               .value()}
            : arrow::Decimal64(static_cast<const arrow::Decimal64Array&>(array).GetValue(i))
                  .value();
    return builder.Append(arrow::Decimal128(digits));
  });
}

arrow::Result<std::shared_ptr<arrow::Array>> decoded(const arrow::DictionaryArray& array) {
  ARROW_ASSIGN_OR_RAISE(auto builder, arrow::MakeBuilder(array.dictionary()->type()));
  const arrow::ArraySpan values(*array.dictionary()->data());
  return each(*builder, array, [&](std::int64_t i) {
    return builder->AppendArraySlice(values, array.GetValueIndex(i), 1);
  });
}

bool is_uuid(const arrow::DataType& type) {
  return type.id() == arrow::Type::EXTENSION &&
         static_cast<const arrow::ExtensionType&>(type).extension_name() == "arrow.uuid";
}

}  // namespace

std::shared_ptr<arrow::Field> plain(const arrow::Field& field) {
  std::shared_ptr<arrow::DataType> type = field.type();
  if (type->id() == arrow::Type::DICTIONARY) {
    type = static_cast<const arrow::DictionaryType&>(*type).value_type();
  }
  const auto with = [&](std::shared_ptr<arrow::DataType> t) {
    return arrow::field(field.name(), std::move(t), field.nullable());
  };
  if (is_json(field)) return mark_json(with(arrow::utf8()));
  if (type->id() == arrow::Type::EXTENSION) {
    if (is_json(*with(type))) return mark_json(with(arrow::utf8()));
    if (is_uuid(*type)) return with(arrow::utf8());
    return plain(*with(static_cast<const arrow::ExtensionType&>(*type).storage_type()));
  }
  switch (type->id()) {
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
      return with(arrow::utf8());
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
      return with(arrow::binary());
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64: {
      const auto& d = static_cast<const arrow::DecimalType&>(*type);
      return with(arrow::decimal128(d.precision(), d.scale()));
    }
    case arrow::Type::HALF_FLOAT:
    case arrow::Type::DURATION:
    case arrow::Type::INTERVAL_MONTHS:
    case arrow::Type::INTERVAL_DAY_TIME:
    case arrow::Type::INTERVAL_MONTH_DAY_NANO:
      return with(arrow::utf8());
    default:
      return arrow::is_nested(type->id()) ? mark_json(with(arrow::utf8())) : with(std::move(type));
  }
}

arrow::Result<std::shared_ptr<arrow::Array>> as_plain(std::shared_ptr<arrow::Array> array,
                                                      const arrow::Field& to) {
  if (array->type_id() == arrow::Type::DICTIONARY) {
    ARROW_ASSIGN_OR_RAISE(array, decoded(static_cast<const arrow::DictionaryArray&>(*array)));
  }
  // Of a UUID the type is needed to write it as one.
  while (array->type_id() == arrow::Type::EXTENSION && !is_uuid(*array->type())) {
    array = static_cast<const arrow::ExtensionArray&>(*array).storage();
  }
  if (array->type()->Equals(*to.type())) return array;
  if (to.type()->id() == arrow::Type::BINARY) return as_bytes(*array);
  if (to.type()->id() == arrow::Type::DECIMAL128) return as_decimal128(*array, to.type());
  return as_text(*array, arrow::is_nested(array->type_id()));
}

}  // namespace tidegate::engine::file
