#include "engine/contract/scripted_source.h"

#include <arrow/array.h>
#include <arrow/json/from_string.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/rows.h"

namespace tidegate::engine::contract {
namespace {

class ScriptedReader final : public Reader {
 public:
  ScriptedReader(const ScriptedEntity& entity, std::vector<int> columns)
      : entity_(entity), columns_(std::move(columns)) {
    arrow::FieldVector fields;
    for (const int c : columns_) fields.push_back(entity.schema->field(c));
    schema_ = arrow::schema(fields);
  }
  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  bool ordered_by_cursor() const override { return entity_.ordered; }
  Result<std::optional<ReadBatch>> next() override {
    if (entity_.on_batch) TG_CHECK(entity_.on_batch(static_cast<int>(at_)));
    if (at_ >= entity_.batches.size()) return std::nullopt;
    ReadBatch out;
    out.batch = *entity_.batches[at_]->SelectColumns(columns_);
    out.bytes = out.batch->num_rows();
    if (at_ == 0) out.rejected = entity_.rejected;
    ++at_;
    return out;
  }

 private:
  const ScriptedEntity& entity_;
  const std::vector<int> columns_;
  std::shared_ptr<arrow::Schema> schema_;
  std::size_t at_ = 0;
};

}  // namespace

Result<Catalog> ScriptedSource::discover(const Wanted& wanted) {
  Catalog catalog;
  for (const auto& [entity_name, e] : entities) {
    if (wanted && !wanted(entity_name)) {
      catalog.others.push_back(entity_name);
      continue;
    }
    EntityInfo info;
    info.name = entity_name;
    info.schema = e.schema;
    info.primary_key = e.primary_key;
    for (const auto& f : e.schema->fields()) {
      if (cursor_kind(*f->type())) info.cursor_candidates.push_back(f->name());
    }
    catalog.entities.push_back(std::move(info));
  }
  return catalog;
}

Result<std::unique_ptr<Reader>> ScriptedSource::open(const ReadParams& params, const Partition&) {
  const ScriptedEntity& e = entities.at(params.entity);
  std::vector<int> columns;
  for (const auto& c : params.columns) columns.push_back(e.schema->GetFieldIndex(c));
  return std::make_unique<ScriptedReader>(e, std::move(columns));
}

std::shared_ptr<arrow::RecordBatch> batch_of(const std::shared_ptr<arrow::Schema>& schema,
                                             const std::string& json_rows) {
  const auto type = arrow::struct_(schema->fields());
  auto array = arrow::json::ArrayFromJSONString(type, json_rows);
  if (!array.ok()) throw std::runtime_error(array.status().ToString());
  auto batch = arrow::RecordBatch::FromStructArray(*array);
  if (!batch.ok()) throw std::runtime_error(batch.status().ToString());
  return (*batch)->ReplaceSchema(schema).ValueOrDie();
}

std::vector<std::string> row_texts(const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches,
                                   const std::vector<std::string>& columns) {
  std::vector<std::string> out;
  for (const auto& batch : batches) {
    for (std::int64_t row = 0; row < batch->num_rows(); ++row) {
      std::string text;
      for (const auto& name : columns) {
        const auto column = batch->GetColumnByName(name);
        text += fmt::format("{}{}={}", text.empty() ? "" : "|", name,
                            column == nullptr ? "?" : value_text(*column, row).value_or("∅"));
      }
      out.push_back(std::move(text));
    }
  }
  std::ranges::sort(out);
  return out;
}

Result<std::vector<std::shared_ptr<arrow::RecordBatch>>> read_everything(
    Source& source, const std::string& entity) {
  TG_TRY(const Catalog catalog, source.discover({}));
  const auto info = std::ranges::find(catalog.entities, entity, &EntityInfo::name);
  if (info == catalog.entities.end()) return fail(Code::NotFound, "no entity " + entity);
  ReadParams params;
  params.entity = entity;
  params.columns = info->schema->field_names();
  TG_TRY(const auto partitions, source.plan(params));
  std::vector<std::shared_ptr<arrow::RecordBatch>> out;
  for (const auto& partition : partitions) {
    TG_TRY(const auto reader, source.open(params, partition));
    for (;;) {
      TG_TRY(auto batch, reader->next());
      if (!batch) break;
      if (!batch->rejected.empty()) return fail(Code::Invalid, batch->rejected.front().reason);
      out.push_back(batch->batch);
    }
  }
  return out;
}

}  // namespace tidegate::engine::contract
