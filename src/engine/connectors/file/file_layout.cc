#include "engine/connectors/file/file_layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

Status check_load(const FileNow& now, const LoadPlan& load) {
  if (load.kind == LoadKind::Merge) {
    return fail(Code::Invalid,
                "a CSV file cannot take rows in the place of older ones, so `incremental` is not "
                "possible; use full, full_append or incremental_append, or a database",
                "mode_unsupported");
  }
  if (load.kind == LoadKind::Append && now.shown == TableFolder::Shown::Foreign) {
    return fail(
        Code::Conflict,
        fmt::format("'{}' was not written by Tidegate, so nothing can be appended to it; run "
                    "a full load first, which replaces it",
                    now.path),
        "table_foreign");
  }
  return {};
}

// Those of the file, where it stays or is this entity's own. One that its user removed begins anew.
std::vector<TableColumnInfo> known_columns(const FileNow& now, const WritePlan& plan,
                                           const LoadPlan& load) {
  if (now.base == nullptr || !now.base->has_data || now.shown != TableFolder::Shown::Ours) {
    return {};
  }
  const bool own = now.base->job == plan.job && now.base->entity == plan.entity;
  return own || load.kind == LoadKind::Append ? now.base->columns : std::vector<TableColumnInfo>{};
}

}  // namespace

// Old columns keep their place, also those that left the source; new ones come behind them.
Result<FileLayout> plan_layout(const FileNow& now, const WritePlan& plan, const LoadPlan& load) {
  using protocol::SchemaChange;
  TG_CHECK(check_load(now, load));
  FileLayout layout{
      .columns = known_columns(now, plan, load), .fields = {}, .widened = false, .sentences = {}};
  auto& columns = layout.columns;
  const bool fresh = columns.empty();
  layout.fields.assign(columns.size(), -1);
  for (int i = 0; i < load.schema->num_fields(); ++i) {
    const arrow::Field& field = *load.schema->field(i);
    const std::string type = type_words(field);
    const bool empty = type == kNoValues;
    const auto it = std::ranges::find(columns, field.name(), &TableColumnInfo::name);
    std::string change;
    if (it == columns.end() && !fresh) {
      change = fmt::format("the column \"{}\" ({}) was added", field.name(), type);
    } else if (it != columns.end() && it->type != type && it->type != kNoValues && !empty) {
      change = fmt::format("the column \"{}\" was {} and is {} now", field.name(), it->type, type);
    }
    if (!change.empty() && load.schema_change == SchemaChange::Fail) {
      return fail(Code::Invalid,
                  fmt::format("the source changed: {}, and schemaChange (--schema-change) is "
                              "`fail`; set it to `evolve` or `ignore`, or exclude the column",
                              change),
                  "schema_changed");
    }
    const bool follow = fresh || load.schema_change == SchemaChange::Evolve;
    if (it != columns.end()) {
      layout.fields[static_cast<std::size_t>(it - columns.begin())] = i;
      if (!empty && (follow || it->type == kNoValues)) it->type = type;
    } else if (follow) {
      columns.push_back({field.name(), type});
      layout.fields.push_back(i);
      layout.widened = layout.widened || !fresh;
    }
    if (follow && !change.empty()) layout.sentences.push_back(std::move(change));
  }
  return layout;
}

}  // namespace tidegate::engine::file
