#include "engine/connectors/duckdb/row_check.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <map>

#include "engine/core/schema.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr const char* kTable = "temp.main._tidegate_check";

// What must hold for a value that is there; "": it always fits.
std::string condition(std::size_t i, const ColumnType& from, const ColumnType& to) {
  if (to.kind == Kind::Json) return fmt::format("json_valid(c{})", i);
  if (holds(to, from)) return {};
  // There and back: casts round and cut without a word.
  return fmt::format("TRY_CAST(TRY_CAST(c{0} AS {1}) AS {2}) IS NOT DISTINCT FROM c{0}", i,
                     to.declared, from.declared);
}

}  // namespace

std::string cast_of(const std::string& value, const ColumnType& from, const ColumnType& to) {
  return from.declared == to.declared && to.kind != Kind::Json
             ? value
             : fmt::format("CAST({} AS {})", value, to.declared);
}

bool CastCheck::needed(const LayoutChange& change) {
  for (std::size_t i = 0; i < change.written.size(); ++i) {
    if (!condition(i, change.handed[i], change.written[i].type).empty()) return true;
  }
  return false;
}

Result<std::unique_ptr<CastCheck>> CastCheck::make(std::unique_ptr<Db> db,
                                                   const LayoutChange& change) {
  std::unique_ptr<CastCheck> out(new CastCheck(std::move(db)));
  std::string columns, wrong, which;
  for (std::size_t i = 0; i < change.written.size(); ++i) {
    const ColumnType& from = change.handed[i];
    columns += fmt::format(", c{} {}", i, from.kind == Kind::Json ? "VARCHAR" : from.declared);
    const std::string good = condition(i, from, change.written[i].type);
    if (good.empty()) continue;
    const std::string bad = fmt::format("(c{} IS NOT NULL AND NOT ({}))", i, good);
    wrong += (wrong.empty() ? "" : " OR ") + bad;
    which += fmt::format(" WHEN {} THEN {}", bad, i);
    out->whys_.resize(i + 1);
    out->whys_[i] =
        change.written[i].type.kind == Kind::Json
            ? fmt::format(
                  "column \"{}\": the text is no JSON that DuckDB takes; correct it in the "
                  "source",
                  change.written[i].name)
            : fmt::format("column \"{}\": the value does not fit the column's type {}",
                          change.written[i].name, change.written[i].type.declared);
  }
  out->create_ =
      fmt::format("CREATE OR REPLACE TEMP TABLE _tidegate_check (\"row\" BIGINT{})", columns);
  out->select_ =
      fmt::format("SELECT \"row\", (CASE{} END)::BIGINT FROM {} WHERE {} ORDER BY \"row\"", which,
                  kTable, wrong);
  return out;
}

Status CastCheck::check(const arrow::RecordBatch& handed, std::vector<RowCheck::Refused>& refused) {
  TG_CHECK(db_->exec(create_));
  arrow::Int64Builder numbers;
  arrow::Status status = numbers.Reserve(handed.num_rows());
  for (std::int64_t row = 0; status.ok() && row < handed.num_rows(); ++row)
    numbers.UnsafeAppend(row);
  auto finished = numbers.Finish();
  if (!status.ok() || !finished.ok()) return fail(Code::Internal, "out of memory");
  arrow::ArrayVector columns{*finished};
  for (const auto& column : handed.columns()) columns.push_back(column);
  arrow::FieldVector fields{arrow::field("row", arrow::int64())};
  for (const auto& field : handed.schema()->fields()) fields.push_back(field);
  const auto numbered =
      arrow::RecordBatch::Make(arrow::schema(fields), handed.num_rows(), std::move(columns));
  TG_TRY(const auto insert, db_->insert(fmt::format("INSERT INTO {} FROM appended_data", kTable),
                                        *numbered->schema()));
  TG_CHECK(insert->put(*numbered));
  TG_TRY(const Rows found, db_->query(select_));
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const auto column = static_cast<std::size_t>(found.integer(i, 1));
    refused.push_back({found.integer(i, 0), whys_[column]});
  }
  return {};
}

Status check_rows(const LayoutChange& change, CastCheck* casts, Handed& handed) {
  std::map<std::int64_t, std::string> refused;  // the first that refuses a row says why
  const auto add = [&](std::vector<RowCheck::Refused>& more) {
    for (auto& [row, why] : more) refused.try_emplace(row, std::move(why));
    more.clear();
  };
  add(handed.refused);
  for (std::size_t i = 0; i < change.written.size(); ++i) {
    const TableColumn& c = change.written[i];
    const auto& column = *handed.rows->column(static_cast<int>(i));
    if (!c.not_null || column.null_count() == 0) continue;
    for (std::int64_t row = 0; row < column.length(); ++row) {
      if (column.IsNull(row))
        refused.try_emplace(row, fmt::format("column \"{}\" of the table takes no NULL", c.name));
    }
  }
  if (casts != nullptr) TG_CHECK(casts->check(*handed.rows, handed.refused));
  add(handed.refused);
  for (auto& [row, why] : refused) handed.refused.push_back({row, std::move(why)});
  return {};
}

namespace {

class HandedCheck final : public RowCheck {
 public:
  HandedCheck(Values values, LayoutChange change, std::unique_ptr<CastCheck> casts)
      : values_(std::move(values)), change_(std::move(change)), casts_(std::move(casts)) {}

  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override {
    TG_TRY(Handed handed, values_.hand(batch));
    TG_CHECK(check_rows(change_, casts_.get(), handed));
    return std::move(handed.refused);
  }

 private:
  const Values values_;
  const LayoutChange change_;
  const std::unique_ptr<CastCheck> casts_;
};

}  // namespace

Result<std::unique_ptr<RowCheck>> make_row_check(const LoadPlan& load, const LayoutChange& change,
                                                 const Context& context) {
  TG_TRY(Values values, Values::make(*load.schema, change.fields));
  std::unique_ptr<CastCheck> casts;
  if (CastCheck::needed(change)) {
    TG_TRY(auto db, Db::scratch(context));
    TG_TRY(casts, CastCheck::make(std::move(db), change));
  }
  return std::make_unique<HandedCheck>(std::move(values), change, std::move(casts));
}

}  // namespace tidegate::engine::duckdb
