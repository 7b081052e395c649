#include "engine/connectors/sqlite/row_check.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/connectors/sqlite/encoder.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/table_sql.h"
#include "engine/core/schema.h"

namespace tidegate::engine::sqlite {
namespace {

class SqliteRowCheck final : public RowCheck {
 public:
  static Result<std::unique_ptr<RowCheck>> make(const LoadPlan& load, const LayoutChange& change,
                                                std::unique_ptr<TableTwin> twin) {
    auto check = std::make_unique<SqliteRowCheck>();
    check->twin_ = std::move(twin);
    check->fields_ = change.fields;
    for (std::size_t i = 0; i < change.fields.size(); ++i) {
      const arrow::Field& field = *load.schema->field(change.fields[i]);
      TG_TRY(Encoder e, Encoder::make(field, change.written[i].type));
      check->encoders_.push_back(std::move(e));
      check->names_.push_back(field.name());
    }
    return check;
  }

  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      TG_CHECK(encoders_[i].attach(batch.column(fields_[i])));
    }
    std::vector<Refused> out;
    std::vector<std::int64_t> unstorable_rows;
    for (auto& [row, why] : unstorable(encoders_, names_, batch.num_rows())) {
      unstorable_rows.push_back(row);
      out.push_back({row, std::move(why)});
    }
    if (twin_ == nullptr) return out;
    auto written = batch.SelectColumns(fields_);
    if (!written.ok()) return fail(from_arrow(written.status(), "choosing columns"));
    TG_CHECK(twin_->check(**written, unstorable_rows, out));
    std::ranges::sort(out, {}, &Refused::row);
    return out;
  }

 private:
  std::vector<int> fields_;  // of the batch, per encoder
  std::vector<Encoder> encoders_;
  std::vector<std::string> names_;
  std::unique_ptr<TableTwin> twin_;
};

// Of the table itself and its indexes; no texts for one that says no more than its columns.
Result<std::vector<std::string>> own_rules(Db& db, const std::string& table,
                                           const TableLayout& now) {
  std::vector<std::string> sql;
  if (!now.exists) return sql;
  TG_TRY(Stmt texts,
         db.prepare("SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type IN "
                    "('table', 'index') AND sql IS NOT NULL ORDER BY type DESC"));
  texts.bind(1, table);
  for (;;) {
    TG_TRY(const bool row, texts.step());
    if (!row) break;
    sql.push_back(texts.text(0));
  }
  if (now.plain && sql.size() == 1) sql.clear();
  return sql;
}

}  // namespace

Result<std::unique_ptr<TableTwin>> TableTwin::make(Db& db, const std::string& table,
                                                   const TableLayout& now, const LoadPlan& load,
                                                   const LayoutChange& change,
                                                   std::stop_token stop) {
  TG_TRY(const std::vector<std::string> rules, own_rules(db, table, now));
  if (rules.empty()) return nullptr;
  TG_TRY(auto memory, Db::open(":memory:", Open::Create, std::move(stop)));
  TG_CHECK(add_functions(*memory));
  TG_CHECK(memory->exec("PRAGMA legacy_alter_table = ON"));  // as the destination's connection
  std::unique_ptr<TableTwin> twin(new TableTwin(std::move(memory)));
  for (const std::string& sql : rules) {
    if (!twin->db_->exec(sql)) return nullptr;
  }
  TG_CHECK(apply_layout(*twin->db_, table, change));
  arrow::FieldVector fields;
  std::vector<ColumnType> targets;
  std::string columns, values;
  for (std::size_t i = 0; i < change.fields.size(); ++i) {
    fields.push_back(load.schema->field(change.fields[i]));
    targets.push_back(change.written[i].type);
    columns += (i == 0 ? "" : ", ") + quote(change.written[i].name);
    values += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
  }
  TG_TRY(twin->batch_, BatchTable::create(*twin->db_, *arrow::schema(fields), targets));
  std::string sql = fmt::format("INSERT OR ABORT INTO main.{} ({}) SELECT {} FROM _tidegate_batch",
                                quote(table), columns, values);
  if (!load.key.empty() && load.kind != LoadKind::Append) {
    const std::string set = assignments(change.written, load.key);
    sql += fmt::format(" WHERE true ON CONFLICT ({}) DO {}", column_list(load.key),
                       set.empty() ? "NOTHING" : "UPDATE SET " + set);
  }
  auto insert = twin->db_->prepare(sql);
  if (!insert) return nullptr;
  twin->insert_ = std::move(*insert);
  return twin;
}

Status TableTwin::check(const arrow::RecordBatch& batch, const std::vector<std::int64_t>& left_out,
                        std::vector<RowCheck::Refused>& refused) {
  TG_CHECK(batch_->show(batch));
  TG_CHECK(db_->exec("BEGIN"));
  std::int64_t begin = 0;
  Status status;
  for (const std::int64_t row : left_out) {
    if (status) status = insert(begin, row, refused);
    begin = row + 1;
  }
  if (status) status = insert(begin, batch.num_rows(), refused);
  db_->rollback();
  return status;
}

// As SqliteWriter::insert().
Status TableTwin::insert(std::int64_t begin, std::int64_t end,
                         std::vector<RowCheck::Refused>& refused) {
  if (begin >= end) return {};
  batch_->show_range(begin, end);
  const Status status = insert_.run();
  if (status) return {};
  if ((sqlite3_errcode(db_->raw()) & 0xFF) != SQLITE_CONSTRAINT) return status;
  if (end - begin == 1) {
    refused.push_back({begin, status.error().message});
    return {};
  }
  const std::int64_t middle = begin + (end - begin) / 2;
  TG_CHECK(insert(begin, middle, refused));
  return insert(middle, end, refused);
}

Result<std::unique_ptr<RowCheck>> make_row_check(const LoadPlan& load, const LayoutChange& change,
                                                 std::unique_ptr<TableTwin> twin) {
  return SqliteRowCheck::make(load, change, std::move(twin));
}

}  // namespace tidegate::engine::sqlite
