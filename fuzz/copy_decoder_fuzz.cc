// Any bytes as the binary COPY of a PostgreSQL server: nothing but an error comes of what is not
// the format, every value is valid in its column, and what was taken is the same after the way
// back.

#include <arrow/array.h>
#include <arrow/compare.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/connectors/postgres/copy_decoder.h"
#include "engine/connectors/postgres/copy_encoder.h"

namespace {

using namespace tidegate;
using namespace tidegate::engine::postgres;

void require(bool ok) {
  if (!ok) std::abort();
}

constexpr ColumnType kTypes[] = {
    {Kind::Bool},        {Kind::Int2},           {Kind::Int4},           {Kind::Int8},
    {Kind::Oid},         {Kind::Float4},         {Kind::Float8},         {Kind::Numeric, 12, 2},
    {Kind::NumericText}, {Kind::Numeric, 38, 9}, {Kind::Numeric, 38, 0}, {Kind::Text},
    {Kind::Json},        {Kind::Jsonb},          {Kind::Bytes},          {Kind::Date},
    {Kind::Time},        {Kind::Timestamp},      {Kind::TimestampTz},    {Kind::Uuid}};

CopyDecoder decoder_of(const std::vector<ColumnType>& types) {
  arrow::FieldVector fields;
  std::vector<std::unique_ptr<Column>> columns;
  for (const ColumnType& type : types) {
    fields.push_back(to_field("c" + std::to_string(fields.size()), type));
    columns.push_back(*Column::make(type));
  }
  return {arrow::schema(fields), std::move(columns)};
}

void there_and_back(const std::vector<ColumnType>& types, const arrow::RecordBatch& batch) {
  auto encoder = CopyEncoder::make(*batch.schema());
  require(encoder.has_value());
  std::string bytes = CopyEncoder::header();
  const auto refused = encoder->put(batch, bytes);
  require(refused.has_value());
  if (!refused->empty()) return;  // such as a NUL in JSON
  // How another table has them: numbers of an oid are bigint there, and text is text.
  std::vector<ColumnType> stored = types;
  for (ColumnType& t : stored) {
    if (t.kind == Kind::Oid) t = {Kind::Int8};
    if (t.kind == Kind::NumericText || t.kind == Kind::Uuid) t = {Kind::Text};
    if (t.kind == Kind::Json) t = {Kind::Jsonb};
  }
  CopyDecoder decoder = decoder_of(stored);
  require(decoder.take(bytes).has_value());
  const auto again = decoder.finish();
  require(again.has_value() && again->refused.empty());
  require(again->batch->num_rows() == batch.num_rows());
  for (int i = 0; i < batch.num_columns(); ++i) {
    require(again->batch->column(i)->Equals(*batch.column(i),
                                            arrow::EqualOptions::Defaults().nans_equal(true)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;
  const std::vector<ColumnType> types{kTypes[data[0] % std::size(kTypes)],
                                      kTypes[data[1] % std::size(kTypes)]};
  const std::string_view rows(reinterpret_cast<const char*>(data) + 2, size - 2);
  CopyDecoder decoder = decoder_of(types);
  if (!decoder.take(CopyEncoder::header() + std::string(rows))) return 0;
  const auto taken = decoder.finish();
  require(taken.has_value());
  require(taken->batch->ValidateFull().ok());
  for (const auto& r : taken->refused) require(!r.why.empty() && r.row < taken->batch->num_rows());
  there_and_back(types, *taken->batch);
  return 0;
}
