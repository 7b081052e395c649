#include "engine/connectors/duckdb/values.h"

#include <arrow/array.h>
#include <arrow/array/util.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <limits>
#include <map>

#include "base/utf8.h"
#include "engine/connectors/duckdb/types.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr std::int64_t kDayMicros = 86'400'000'000;
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
// The first moments that DuckDB can write: 290309-12-22 BC and 1677-09-22. The last number is
// infinity.
constexpr std::int64_t kFirstMicros = -9'223'372'022'400'000'000;
constexpr std::int64_t kFirstNanos = -9'223'286'400'000'000'000;
constexpr std::int32_t kFirstDay = -2'147'483'646;

// Row → why; the first column that refuses a row says it.
using Why = std::map<std::int64_t, std::string>;

class Checked {
 public:
  Checked(const std::string& name, Why& why) : name_(name), why_(why) {}
  void refuse(std::int64_t row, std::string_view problem) {
    why_.try_emplace(row, fmt::format("column \"{}\": {}", name_, problem));
  }

 private:
  const std::string& name_;
  Why& why_;
};

using Column = Result<std::shared_ptr<arrow::Array>>;

Column finished(arrow::ArrayBuilder& builder) {
  auto array = builder.Finish();
  if (!array.ok()) return fail(from_arrow(array.status(), "preparing values"));
  return *array;
}

// Each value as a number of `unit`; nullopt refuses it.
template <class ArrayType, class Builder, class Convert>
Column convert(const arrow::Array& column, const std::shared_ptr<arrow::DataType>& to,
               Checked& checked, std::string_view problem, const Convert& one) {
  const auto& in = static_cast<const ArrayType&>(column);
  Builder out(to, arrow::default_memory_pool());
  arrow::Status status = out.Reserve(in.length());
  for (std::int64_t row = 0; status.ok() && row < in.length(); ++row) {
    std::optional<std::int64_t> value;
    if (!in.IsNull(row)) {
      value = one(in.Value(row));
      if (!value) checked.refuse(row, problem);
    }
    if (value) {
      out.UnsafeAppend(*value);
    } else {
      out.UnsafeAppendNull();
    }
  }
  if (!status.ok()) return fail(from_arrow(status, "preparing values"));
  return finished(out);
}

std::optional<std::int64_t> times(std::int64_t v, std::int64_t factor) {
  std::int64_t out = 0;
  return __builtin_mul_overflow(v, factor, &out) ? std::nullopt : std::optional(out);
}

std::int64_t micros_in(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1'000'000;
    case arrow::TimeUnit::MILLI:
      return 1'000;
    default:
      return 1;
  }
}

Column timestamps(const std::shared_ptr<arrow::Array>& column, Checked& checked) {
  const auto& type = static_cast<const arrow::TimestampType&>(*column->type());
  using In = arrow::TimestampArray;
  using Out = arrow::TimestampBuilder;
  const auto inside = [](std::optional<std::int64_t> v) {
    return v && *v >= kFirstMicros && *v < kMax ? v : std::nullopt;
  };
  const bool nanos = type.unit() == arrow::TimeUnit::NANO;
  if (nanos && type.timezone().empty()) {
    return convert<In, Out>(*column, arrow::timestamp(arrow::TimeUnit::NANO), checked,
                            "the time is before 1677-09-22 or beyond what DuckDB holds",
                            [](std::int64_t v) {
                              return v >= kFirstNanos && v < kMax ? std::optional(v) : std::nullopt;
                            });
  }
  const auto to = arrow::timestamp(arrow::TimeUnit::MICRO, type.timezone().empty() ? "" : "UTC");
  if (nanos) {
    return convert<In, Out>(
        *column, to, checked,
        "the time has nanoseconds, and a time with time zone has microseconds in DuckDB; round "
        "them in the source",
        [](std::int64_t v) { return v % 1000 == 0 ? std::optional(v / 1000) : std::nullopt; });
  }
  return convert<In, Out>(*column, to, checked, "the time is beyond what DuckDB holds",
                          [&](std::int64_t v) { return inside(times(v, micros_in(type.unit()))); });
}

Column times_of_day(const std::shared_ptr<arrow::Array>& column, Checked& checked) {
  const auto unit = static_cast<const arrow::TimeType&>(*column->type()).unit();
  const auto to = arrow::time64(arrow::TimeUnit::MICRO);
  constexpr std::string_view kProblem =
      "the time of day has nanoseconds, or is not within a day; correct it in the source";
  const auto inside = [](std::optional<std::int64_t> v) {
    return v && *v >= 0 && *v < kDayMicros ? v : std::nullopt;
  };
  const auto one = [&](std::int64_t v) -> std::optional<std::int64_t> {
    if (unit != arrow::TimeUnit::NANO) return inside(times(v, micros_in(unit)));
    return v % 1000 == 0 ? inside(v / 1000) : std::nullopt;
  };
  if (column->type_id() == arrow::Type::TIME32)
    return convert<arrow::Time32Array, arrow::Time64Builder>(*column, to, checked, kProblem, one);
  return convert<arrow::Time64Array, arrow::Time64Builder>(*column, to, checked, kProblem, one);
}

template <class ArrayType, class Good>
void check(const arrow::Array& column, Checked& checked, std::string_view problem,
           const Good& good) {
  const auto& in = static_cast<const ArrayType&>(column);
  for (std::int64_t row = 0; row < in.length(); ++row) {
    if (!in.IsNull(row) && !good(in.GetView(row))) checked.refuse(row, problem);
  }
}

// Types that have only their digits in common with DuckDB's.
Column texts(const arrow::Array& column) {
  arrow::StringBuilder out;
  arrow::Status status;
  for (std::int64_t row = 0; status.ok() && row < column.length(); ++row) {
    const auto text = value_text(column, row);
    status = text ? out.Append(*text) : out.AppendNull();
  }
  if (!status.ok()) return fail(from_arrow(status, "preparing values"));
  return finished(out);
}

constexpr const char* kNotUtf8 = "the text is not valid UTF-8; correct it in the source";

Column decimals(const std::shared_ptr<arrow::Array>& column, const ColumnType& target,
                Checked& checked) {
  if (target.kind == Kind::Text) return texts(*column);
  const auto& in = static_cast<const arrow::Decimal128Array&>(*column);
  for (std::int64_t row = 0; row < in.length(); ++row) {
    if (!in.IsNull(row) && !arrow::Decimal128(in.GetValue(row)).FitsInPrecision(target.precision))
      checked.refuse(row, fmt::format("the number has more than {} digits", target.precision));
  }
  return column;
}

Column hand(const std::shared_ptr<arrow::Array>& column, const ColumnType& target,
            Checked& checked) {
  switch (column->type_id()) {
    case arrow::Type::NA: {
      auto nulls = arrow::MakeArrayOfNull(arrow::utf8(), column->length());
      if (!nulls.ok()) return fail(from_arrow(nulls.status(), "preparing values"));
      return *nulls;
    }
    case arrow::Type::STRING:
      check<arrow::StringArray>(*column, checked, kNotUtf8, is_utf8);
      return column;
    case arrow::Type::LARGE_STRING:
      check<arrow::LargeStringArray>(*column, checked, kNotUtf8, is_utf8);
      return column;
    case arrow::Type::DATE32:
      check<arrow::Date32Array>(
          *column, checked, "the date is beyond what DuckDB holds", [](std::int32_t v) {
            return v >= kFirstDay && v < std::numeric_limits<std::int32_t>::max();
          });
      return column;
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return times_of_day(column, checked);
    case arrow::Type::TIMESTAMP:
      return timestamps(column, checked);
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
      return decimals(column, target, checked);
    default:
      return column;
  }
}

}  // namespace

Result<Values> Values::make(const arrow::Schema& schema, const std::vector<int>& fields) {
  Values out;
  out.fields_ = fields;
  arrow::FieldVector handed;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto& field = schema.field(fields[i]);
    TG_TRY(const ColumnType target, target_type(*field));
    out.names_.push_back(field->name());
    const arrow::Type::type id = field->type()->id();
    const bool as_it_is = arrow::is_base_binary_like(id) || id == arrow::Type::FIXED_SIZE_BINARY;
    handed.push_back(
        arrow::field(fmt::format("c{}", i), as_it_is ? field->type() : handed_type(target)));
  }
  out.schema_ = arrow::schema(std::move(handed));
  return out;
}

Result<Handed> Values::hand(const arrow::RecordBatch& batch) const {
  Why why;
  arrow::ArrayVector columns;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    Checked checked(names_[i], why);
    TG_TRY(const ColumnType target, target_type(*batch.schema()->field(fields_[i])));
    TG_TRY(auto column, duckdb::hand(batch.column(fields_[i]), target, checked));
    columns.push_back(std::move(column));
  }
  Handed out{.rows = arrow::RecordBatch::Make(schema_, batch.num_rows(), std::move(columns)),
             .refused = {}};
  for (auto& [row, text] : why) out.refused.push_back({row, std::move(text)});
  return out;
}

}  // namespace tidegate::engine::duckdb
