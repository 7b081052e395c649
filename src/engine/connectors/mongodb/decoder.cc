#include "engine/connectors/mongodb/decoder.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>

#include "engine/connectors/mongodb/bson.h"
#include "engine/connectors/mongodb/bson_json.h"
#include "engine/core/cursor.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr double kExactInDouble = 9007199254740992;                                     // 2^53
constexpr std::int64_t kYear0 = -62'167'219'200'000, kYear10000 = 253'402'300'800'000;  // ms

std::string_view kind_words(const bson_iter_t& value) {
  switch (kind_of(value)) {
    case kBool:
      return "a boolean";
    case kInteger:
      return "a whole number";
    case kDouble:
      return "a double";
    case kDecimal:
      return "a decimal";
    case kText:
      return "a text";
    case kDate:
      return "a date";
    case kObjectId:
      return "an ObjectId";
    case kUuid:
      return "a UUID";
    case kBytes:
      return "binary data";
    case kNested:
      break;
  }
  return "a document, an array or the like";
}

// A value of another kind than those that discover() saw.
std::string not_as(const SourceColumn& column, const bson_iter_t& value, std::string_view wanted) {
  return fmt::format(
      "field \"{}\": holds {} where the others held {}; the collection has changed "
      "since it was looked into, run it once more",
      column.name, kind_words(value), wanted);
}

std::string_view bytes_of(const bson_iter_t& value) {
  bson_subtype_t subtype{};
  std::uint32_t size = 0;
  const std::uint8_t* bytes = nullptr;
  bson_iter_binary(&value, &subtype, &size, &bytes);
  return {reinterpret_cast<const char*>(bytes), size};
}

std::string uuid_text(std::string_view bytes) {
  std::string text = to_hex(bytes);
  for (const std::size_t at : {8, 13, 18, 23}) text.insert(at, 1, '-');
  return text;
}

// nullopt: beyond the years of a calendar (a date holds 292 million), which would wrap round.
std::optional<std::string> date_text(std::int64_t ms) {
  if (ms < kYear0 || ms >= kYear10000) return std::nullopt;
  return CursorValue::timestamp_ns(Int128{ms} * 1'000'000).to_string();
}

// The digits × 10^-scale; nullopt: not exactly.
std::optional<arrow::Decimal128> decimal_of(const std::string& text, int precision, int scale) {
  arrow::Decimal128 value;
  std::int32_t has_precision = 0, has_scale = 0;
  if (!arrow::Decimal128::FromString(text, &value, &has_precision, &has_scale).ok()) return {};
  const auto scaled = value.Rescale(has_scale, scale);
  if (!scaled.ok() || !scaled->FitsInPrecision(precision)) return {};
  return *scaled;
}

}  // namespace

struct DocumentDecoder::Cell {
  bool null = true;
  std::int64_t whole = 0;
  double real = 0;
  std::string text;
  arrow::Decimal128 decimal;
};

std::optional<std::string> plain_text(const bson_iter_t& value) {
  switch (kind_of(value)) {
    case kBool:
      return bson_iter_bool(&value) ? "true" : "false";
    case kInteger:
      return std::to_string(bson_iter_as_int64(&value));
    case kDouble:
      return fmt::format("{}", bson_iter_double(&value));
    case kDecimal:
      break;
    case kText:
      if (BSON_ITER_HOLDS_UTF8(&value)) {
        std::uint32_t size = 0;
        const char* text = bson_iter_utf8(&value, &size);
        return std::string(text, size);
      }
      break;
    case kDate:
      return date_text(bson_iter_date_time(&value));
    case kObjectId: {
      std::array<char, 25> hex{};
      bson_oid_to_string(bson_iter_oid(&value), hex.data());
      return hex.data();
    }
    case kUuid:
      return uuid_text(bytes_of(value));
    case kBytes:
    case kNested:
      return std::nullopt;
  }
  bson_decimal128_t v;
  bson_iter_decimal128(&value, &v);
  return decimal_text(v);
}

DocumentDecoder::DocumentDecoder(std::vector<SourceColumn> columns)
    : columns_(std::move(columns)), cells_(columns_.size()) {
  arrow::FieldVector fields;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    fields.push_back(columns_[i].field());
    if (!columns_[i].whole) places_.emplace(columns_[i].name, i);
    builders_.push_back(arrow::MakeBuilder(fields.back()->type()).ValueOrDie());
  }
  schema_ = arrow::schema(std::move(fields));
}

DocumentDecoder::~DocumentDecoder() = default;
DocumentDecoder::DocumentDecoder(DocumentDecoder&&) noexcept = default;

// "": the cell holds the value.
std::string DocumentDecoder::convert(const bson_iter_t& value, std::size_t i) {
  const SourceColumn& column = columns_[i];
  Cell& cell = cells_[i];
  cell.null = false;
  const FieldKinds kind = kind_of(value);
  const auto wrong = [&](std::string_view wanted) { return not_as(column, value, wanted); };
  switch (column.kind) {
    case ColumnKind::NoValues:
      return wrong("nothing");
    case ColumnKind::Bool:
      cell.whole = bson_iter_bool(&value) ? 1 : 0;
      return kind == kBool ? "" : wrong("booleans");
    case ColumnKind::Integer:
      if (kind != kInteger) return wrong("whole numbers");
      cell.whole = bson_iter_as_int64(&value);
      return {};
    case ColumnKind::Double:
      cell.real = bson_iter_as_double(&value);
      if (kind == kInteger && std::abs(cell.real) > kExactInDouble) {
        return wrong("doubles");
      }
      return kind == kDouble || kind == kInteger ? "" : wrong("doubles");
    case ColumnKind::Decimal: {
      if (kind != kDecimal && kind != kInteger) return wrong("decimals");
      const auto v = decimal_of(*plain_text(value), column.precision, column.scale);
      if (!v) return wrong("decimals of fewer digits");
      cell.decimal = *v;
      return {};
    }
    case ColumnKind::Date:
      if (kind != kDate) return wrong("dates");
      cell.whole = bson_iter_date_time(&value);
      return {};
    case ColumnKind::ObjectId:
    case ColumnKind::Uuid:
      if (kind != (column.kind == ColumnKind::Uuid ? kUuid : kObjectId)) {
        return wrong(column.kind == ColumnKind::Uuid ? "UUIDs" : "ObjectIds");
      }
      cell.text = *plain_text(value);
      return {};
    case ColumnKind::Text:
    case ColumnKind::Bytes:
    case ColumnKind::Json:
      break;
  }
  return convert_any(value, i);
}

// What texts, bytes and JSON take of any kind.
std::string DocumentDecoder::convert_any(const bson_iter_t& value, std::size_t i) {
  const SourceColumn& column = columns_[i];
  Cell& cell = cells_[i];
  if (column.kind == ColumnKind::Bytes) {
    if (kind_of(value) != kBytes) return not_as(column, value, "binary data");
    cell.text = bytes_of(value);
    return {};
  }
  if (column.kind == ColumnKind::Json) {
    auto json = json_of(value);
    if (!json) {
      return fmt::format("field \"{}\": {}; correct it", column.name, json.error().message);
    }
    cell.text = std::move(*json);
    return {};
  }
  auto text = plain_text(value);
  if (!text && kind_of(value) == kDate) {
    return fmt::format(
        "field \"{}\": a date outside the years 0000 to 9999 has no text, and others of the "
        "field are none; correct it, or set `mode` of the source to `document`",
        column.name);
  }
  if (!text) return not_as(column, value, "plain values");
  if (!bson_utf8_validate(text->data(), text->size(), true)) {
    return fmt::format("field \"{}\": is not valid UTF-8; correct it", column.name);
  }
  cell.text = std::move(*text);
  return {};
}

std::string DocumentDecoder::take(const bson_t& document) {
  for (Cell& cell : cells_) cell.null = true;
  bson_iter_t at;
  if (!bson_iter_init(&at, &document)) return "is damaged";
  while (bson_iter_next(&at)) {
    const auto place = places_.find(std::string(bson_iter_key(&at), bson_iter_key_len(&at)));
    if (place == places_.end()) continue;
    if (!cells_[place->second].null) {
      return fmt::format("field \"{}\": is there twice; correct the document", place->first);
    }
    if (bson_iter_type(&at) == BSON_TYPE_NULL) continue;
    std::string why = convert(at, place->second);
    if (!why.empty()) return why;
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].whole) continue;
    auto json = json_of(document);
    if (!json) return fmt::format("the document {}; correct it", json.error().message);
    cells_[i].null = false;
    cells_[i].text = std::move(*json);
  }
  if (!append_row()) return "there is no memory for it";
  ++rows_;
  bytes_ += document.len;
  return {};
}

// False: there is no memory.
bool DocumentDecoder::append_row() {
  arrow::Status status;
  for (std::size_t i = 0; i < columns_.size() && status.ok(); ++i) {
    const Cell& cell = cells_[i];
    arrow::ArrayBuilder& to = *builders_[i];
    if (cell.null) {
      status = to.AppendNull();
      continue;
    }
    switch (columns_[i].kind) {
      case ColumnKind::NoValues:
        break;
      case ColumnKind::Bool:
        status = static_cast<arrow::BooleanBuilder&>(to).Append(cell.whole != 0);
        break;
      case ColumnKind::Integer:
        status = static_cast<arrow::Int64Builder&>(to).Append(cell.whole);
        break;
      case ColumnKind::Double:
        status = static_cast<arrow::DoubleBuilder&>(to).Append(cell.real);
        break;
      case ColumnKind::Decimal:
        status = static_cast<arrow::Decimal128Builder&>(to).Append(cell.decimal);
        break;
      case ColumnKind::Date:
        status = static_cast<arrow::TimestampBuilder&>(to).Append(cell.whole);
        break;
      case ColumnKind::Text:
      case ColumnKind::ObjectId:
      case ColumnKind::Uuid:
      case ColumnKind::Bytes:
      case ColumnKind::Json:
        status = static_cast<arrow::BinaryBuilder&>(to).Append(cell.text);
        break;
    }
  }
  return status.ok();
}

Result<std::shared_ptr<arrow::RecordBatch>> DocumentDecoder::finish() {
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (auto& builder : builders_) {
    auto array = builder->Finish();
    if (!array.ok()) return fail(from_arrow(array.status(), "reading documents"));
    arrays.push_back(*array);
  }
  auto batch = arrow::RecordBatch::Make(schema_, rows_, std::move(arrays));
  rows_ = bytes_ = 0;
  return batch;
}

}  // namespace tidegate::engine::mongodb
