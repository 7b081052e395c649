#include "engine/connectors/file/row_fit.h"

#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/array/util.h>
#include <arrow/compute/cast.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/connectors/file/file_types.h"
#include "engine/connectors/file/json_text.h"
#include "engine/connectors/file/parquet_types.h"
#include "engine/connectors/file/value_text.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

constexpr std::size_t kValueShown = 60;  // bytes

// Whether a cast that Arrow calls safe is exact, value by value. It rounds fractions to decimals,
// and reads texts in its own way.
bool safe_cast_is_exact(const arrow::Field& from, const arrow::Field& to) {
  if (holds(to, from)) return true;
  if (is_json(from) || is_json(to)) return false;
  const arrow::Type::type a = from.type()->id(), b = to.type()->id();
  const auto exact = [](arrow::Type::type t) {
    return arrow::is_integer(t) || arrow::is_decimal(t);
  };
  if (exact(a) && exact(b)) return true;
  if (arrow::is_integer(a) && arrow::is_floating(b)) return true;
  if (a == arrow::Type::DATE64 && b == arrow::Type::DATE32) return true;
  if (a != b || (a != arrow::Type::TIMESTAMP && !arrow::is_time(a))) return false;
  const auto zone = [](const arrow::Field& f) {
    return f.type()->id() == arrow::Type::TIMESTAMP &&
           !static_cast<const arrow::TimestampType&>(*f.type()).timezone().empty();
  };
  return zone(from) == zone(to);
}

// Halves what cannot be cast until single values are left.
arrow::Status cast_part(const arrow::Array& array, std::int64_t first,
                        const std::shared_ptr<arrow::DataType>& to, arrow::ArrayVector& parts,
                        std::vector<std::int64_t>& bad) {
  const auto cast = arrow::compute::Cast(array, to);
  if (cast.ok()) {
    parts.push_back(*cast);
    return {};
  }
  if (!cast.status().IsInvalid()) return cast.status();
  if (array.length() == 1) {
    bad.push_back(first);
    ARROW_ASSIGN_OR_RAISE(auto null, arrow::MakeArrayOfNull(to, 1));
    parts.push_back(std::move(null));
    return {};
  }
  const std::int64_t half = array.length() / 2;
  ARROW_RETURN_NOT_OK(cast_part(*array.Slice(0, half), first, to, parts, bad));
  return cast_part(*array.Slice(half), first + half, to, parts, bad);
}

arrow::Result<std::shared_ptr<arrow::Array>> cast(const std::shared_ptr<arrow::Array>& array,
                                                  const arrow::Field& from, const arrow::Field& to,
                                                  std::vector<std::int64_t>& bad) {
  const auto& type = to.type();
  if (from.type()->id() == arrow::Type::NA) return arrow::MakeArrayOfNull(type, array->length());
  if (array->type()->Equals(*type) && (is_json(from) == is_json(to) || !is_json(to))) return array;
  // Not of bytes: their base64 is no value of theirs.
  if (type->id() == arrow::Type::STRING && !is_json(to) && holds(to, from)) {
    return as_plain(array, to);
  }
  if (!safe_cast_is_exact(from, to)) {
    for (std::int64_t row = 0; row < array->length(); ++row) {
      if (array->IsValid(row)) bad.push_back(row);
    }
    return arrow::MakeArrayOfNull(type, array->length());
  }
  arrow::ArrayVector parts;
  ARROW_RETURN_NOT_OK(cast_part(*array, 0, type, parts, bad));
  if (parts.size() == 1) return parts[0];
  return arrow::Concatenate(parts);
}

// Why the text cannot be written; "": it can.
std::string_view fault_of_text(std::string_view text, bool json) {
  if (!is_utf8(text)) return "is not valid UTF-8; correct it in the source";
  if (json && !is_json_text(text)) {
    return "is not JSON, or nested deeper than 512 levels; correct it in the source, or copy the "
           "column as text";
  }
  return "";
}

void refuse_broken_texts(const arrow::Array& array, const std::string& name, bool json,
                         std::vector<RowCheck::Refused>& refused) {
  if (array.type_id() != arrow::Type::STRING) return;
  const auto& texts = static_cast<const arrow::StringArray&>(array);
  const bool whole = !json && texts.ValidateUTF8().ok();
  for (std::int64_t row = 0; !whole && row < texts.length(); ++row) {
    const std::string_view fault = texts.IsNull(row) ? "" : fault_of_text(texts.GetView(row), json);
    if (!fault.empty()) {
      refused.push_back({row, fmt::format("column \"{}\": the text {}", name, fault)});
    }
  }
}

template <class Real>
void refuse_what_json_lacks(const arrow::Array& array, const std::string& name,
                            std::vector<RowCheck::Refused>& refused) {
  const auto& numbers = static_cast<const Real&>(array);
  for (std::int64_t row = 0; row < array.length(); ++row) {
    if (array.IsNull(row) || std::isfinite(numbers.Value(row))) continue;
    refused.push_back(
        {row, fmt::format("column \"{}\": {} is no number that JSON has; write csv or "
                          "parquet, or leave it out (`where`, or NULL in the source)",
                          name, static_cast<double>(numbers.Value(row)))});
  }
}

}  // namespace

Result<std::shared_ptr<arrow::Array>> cast_exactly(const std::shared_ptr<arrow::Array>& array,
                                                   const arrow::Field& from, const arrow::Field& to,
                                                   std::vector<std::int64_t>& bad) {
  auto made = cast(array, from, to, bad);
  if (!made.ok()) return fail(from_arrow(made.status(), "casting a column"));
  return std::move(*made);
}

RowFit::RowFit(const FileLayout& layout, const arrow::Schema& load)
    : format_(layout.format), schema_(layout.schema), fields_(layout.fields) {
  for (const int i : fields_) {
    plain_.push_back(i < 0 ? nullptr : plain(*load.field(i)));
    held_.push_back(i < 0 ? nullptr : held_field(*load.field(i)));
  }
}

Result<std::shared_ptr<arrow::Array>> RowFit::fit_column(std::size_t column,
                                                         std::shared_ptr<arrow::Array> array,
                                                         std::vector<Refused>& refused) const {
  const arrow::Field& to = *schema_->field(static_cast<int>(column));
  auto simple = as_plain(std::move(array), *plain_[column]);
  if (!simple.ok()) return fail(from_arrow(simple.status(), "reading a column"));
  array = std::move(*simple);
  const std::string& name = to.name();
  const bool json = is_json(*plain_[column]);
  refuse_broken_texts(*array, name, json, refused);
  if (format_ == Format::Jsonl && json_form(to) == JsonForm::Number) {
    if (array->type_id() == arrow::Type::DOUBLE) {
      refuse_what_json_lacks<arrow::DoubleArray>(*array, name, refused);
    } else if (array->type_id() == arrow::Type::FLOAT) {
      refuse_what_json_lacks<arrow::FloatArray>(*array, name, refused);
    }
  }
  std::vector<std::int64_t> bad;
  auto out = array;
  const arrow::Field* from = plain_[column].get();
  // As text the plain type has its own form. What else the column may be was made from the held
  // one.
  if (to.type()->id() != arrow::Type::STRING) {
    TG_TRY(out, cast_exactly(array, *from, *held_[column], bad));
    from = held_[column].get();
  }
  TG_TRY(out, cast_exactly(out, *from, to, bad));
  for (const std::int64_t row : bad) {
    std::string value;
    append_text(value, *array, row);
    refused.push_back(
        {row, fmt::format("column \"{}\": '{}' has no exact form as {}, which the column of the "
                          "file is; let it follow the source (schemaChange: evolve), or reset the "
                          "job",
                          name, escape_bytes(clip(value, kValueShown)), type_words(to))});
  }
  return out;
}

Result<RowFit::Fitted> RowFit::fit(const arrow::RecordBatch& batch) const {
  Fitted out;
  arrow::ArrayVector columns;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i] < 0) {
      auto nulls =
          arrow::MakeArrayOfNull(schema_->field(static_cast<int>(i))->type(), batch.num_rows());
      if (!nulls.ok()) return fail(from_arrow(nulls.status(), "filling a column"));
      columns.push_back(std::move(*nulls));
    } else if (format_ == Format::Csv) {
      columns.push_back(batch.column(fields_[i]));
      // What is JSON is text there like any other.
      refuse_broken_texts(*columns.back(), schema_->field(static_cast<int>(i))->name(), false,
                          out.refused);
    } else {
      TG_TRY(auto column, fit_column(i, batch.column(fields_[i]), out.refused));
      columns.push_back(std::move(column));
    }
  }
  out.rows = arrow::RecordBatch::Make(schema_, batch.num_rows(), std::move(columns));
  if (out.refused.empty()) return out;
  // The first reason of a row is enough.
  std::ranges::sort(out.refused, [](const Refused& a, const Refused& b) {
    return std::tie(a.row, a.why) < std::tie(b.row, b.why);
  });
  const auto twice = std::ranges::unique(out.refused, {}, &Refused::row);
  out.refused.erase(twice.begin(), twice.end());
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(batch.num_rows()), 1);
  for (const Refused& r : out.refused) keep[static_cast<std::size_t>(r.row)] = 0;
  TG_TRY(out.rows, keep_rows(out.rows, keep));
  return out;
}

Result<std::vector<RowCheck::Refused>> RowFit::check(const arrow::RecordBatch& batch) {
  TG_TRY(Fitted fitted, fit(batch));
  return std::move(fitted.refused);
}

}  // namespace tidegate::engine::file
