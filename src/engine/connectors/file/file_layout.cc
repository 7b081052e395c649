#include "engine/connectors/file/file_layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/connectors/file/file_types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

using protocol::SchemaChange;

bool has_file(const FileNow& now) { return now.base != nullptr && now.base->has_data && now.shown; }
bool has_rows(const FileNow& now) { return has_file(now) && now.base->rows > 0; }

Status check_load(const FileNow& now, const LoadPlan& load) {
  if (load.kind == LoadKind::Merge) {
    return fail(Code::Invalid,
                "a file cannot take rows in the place of older ones, so `incremental` is not "
                "possible; use full, full_append or incremental_append, or a database",
                "mode_unsupported");
  }
  if (load.kind != LoadKind::Append) return {};
  if (now.foreign) {
    return fail(
        Code::Conflict,
        fmt::format("'{}' was not written by Tidegate, so nothing can be appended to it; run "
                    "a full load first, which replaces it",
                    now.path),
        "table_foreign");
  }
  if (has_rows(now) && now.base->format != now.format) {
    return fail(Code::Invalid,
                fmt::format("the rows so far are in '{}', and none can be appended to them as {}; "
                            "set the format back to {}, or give {} another folder. Or move that "
                            "file away, and the table begins anew with what the source holds",
                            now.base_path, name_of(now.format), name_of(now.base->format),
                            name_of(now.format)),
                "format_changed");
  }
  return {};
}

// The columns of the file where it stays or is this entity's own. One that its user removed, or
// that another format takes the place of, begins anew.
Status take_known_columns(const FileNow& now, const WritePlan& plan, const LoadPlan& load,
                          FileLayout& layout, arrow::FieldVector& types) {
  if (!has_file(now) || now.base->format != now.format) return {};
  const bool own = now.base->job == plan.job && now.base->entity == plan.entity;
  if (!own && load.kind != LoadKind::Append) return {};
  layout.columns = now.base->columns;
  layout.fields.assign(layout.columns.size(), -1);
  if (now.format == Format::Csv) {
    for (const auto& c : layout.columns) types.push_back(arrow::field(c.name, arrow::null()));
    return {};
  }
  TG_TRY(const auto before, decode_types(now.base->types, now.base_path));
  if (before->num_fields() != static_cast<int>(layout.columns.size())) {
    return changed_by_somebody(now.base_path, "its state has other columns than types");
  }
  types = before->fields();
  if (load.kind == LoadKind::Append) layout.before = before;
  return {};
}

std::unexpected<Error> refused(const std::string& change) {
  return fail(Code::Invalid,
              fmt::format("the source changed: {}, and schemaChange (--schema-change) is "
                          "`fail`; set it to `evolve` or `ignore`, or exclude the column",
                          change),
              "schema_changed");
}

// One column of the load beside what the file has.
class Change {
 public:
  Change(const LoadPlan& load, FileLayout& layout, arrow::FieldVector& types)
      : load_(load),
        layout_(layout),
        types_(types),
        fresh_(layout.columns.empty()),
        typed_(layout.format != Format::Csv) {}

  Status take(int index) {
    const arrow::Field& field = *load_.schema->field(index);
    const auto now = typed_ ? held_field(field) : load_.schema->field(index);
    const auto it = std::ranges::find(layout_.columns, field.name(), &TableColumnInfo::name);
    if (it == layout_.columns.end()) return add(index, now);
    const auto at = static_cast<std::size_t>(it - layout_.columns.begin());
    layout_.fields[at] = index;
    return typed_ ? follow(*it, types_[at], *now) : rename_type(*it, types_[at], now);
  }

 private:
  bool follows() const { return fresh_ || load_.schema_change == SchemaChange::Evolve; }

  Status add(int index, const std::shared_ptr<arrow::Field>& field) {
    const std::string type = type_words(*field);
    std::string change = fmt::format("the column \"{}\" ({}) was added", field->name(), type);
    if (!fresh_ && load_.schema_change == SchemaChange::Fail) return refused(change);
    if (!follows()) return {};
    layout_.columns.push_back({field->name(), type});
    layout_.fields.push_back(index);
    types_.push_back(field);
    layout_.widened = layout_.widened || !fresh_;
    if (!fresh_) layout_.sentences.push_back(std::move(change));
    return {};
  }

  // Text has no types: only what is known of the column changes.
  Status rename_type(TableColumnInfo& column, std::shared_ptr<arrow::Field>& written,
                     const std::shared_ptr<arrow::Field>& now) {
    written = now;
    const std::string type = type_words(*now);
    if (type == kNoValues || type == column.type) return {};
    if (column.type != kNoValues) {
      std::string change =
          fmt::format("the column \"{}\" was {} and is {} now", column.name, column.type, type);
      if (load_.schema_change == SchemaChange::Fail) return refused(change);
      if (!follows()) return {};
      layout_.sentences.push_back(std::move(change));
    }
    column.type = type;
    return {};
  }

  // The old rows keep their values, so a type that holds both; without them, the source's own.
  Status follow(TableColumnInfo& column, std::shared_ptr<arrow::Field>& type,
                const arrow::Field& now) {
    const bool appends = load_.kind == LoadKind::Append;
    const bool same = appends ? holds(*type, now) : type->Equals(now, /*check_metadata=*/true);
    if (same || now.type()->id() == arrow::Type::NA) return {};
    const bool first = type->type()->id() == arrow::Type::NA;
    const std::string was = type_words(*type), is = type_words(now);
    if (!first) {
      const std::string change =
          fmt::format("the column \"{}\" was {} and is {} now", column.name, was, is);
      if (load_.schema_change == SchemaChange::Fail && (!holds(*type, now))) return refused(change);
      if (load_.schema_change != SchemaChange::Evolve) {
        if (load_.schema_change == SchemaChange::Ignore && was != is) {
          layout_.sentences.push_back(change + "; ignored, values that do not fit are rejected");
        }
        return {};
      }
    }
    auto wide = appends ? join_fields(*type, now) : now.WithName(column.name);
    if (!wide) {
      return fail(Code::Invalid,
                  fmt::format("the column \"{}\" was {} and is {} now, and no type holds both; "
                              "exclude it, or reset the job (--reset, or `tidegate jobs reset`)",
                              column.name, was, is),
                  "schema_changed");
    }
    const std::string words = type_words(*wide);
    if (!first && words != was) {
      layout_.sentences.push_back(fmt::format(
          "the column \"{}\" was {} and is {} now{}", column.name, was, is,
          words == is ? "" : fmt::format("; the file's is {}, which holds both", words)));
    }
    type = std::move(wide);
    column.type = words;
    layout_.widened = true;
    return {};
  }

  const LoadPlan& load_;
  FileLayout& layout_;
  arrow::FieldVector& types_;
  const bool fresh_, typed_;
};

}  // namespace

// Old columns keep their place, also those that left the source; new ones come behind them.
Result<FileLayout> plan_layout(const FileNow& now, const WritePlan& plan, const LoadPlan& load) {
  TG_CHECK(check_load(now, load));
  FileLayout layout{.format = now.format,
                    .columns = {},
                    .fields = {},
                    .schema = nullptr,
                    .before = nullptr,
                    .widened = false,
                    .sentences = {}};
  arrow::FieldVector types;
  TG_CHECK(take_known_columns(now, plan, load, layout, types));
  Change change(load, layout, types);
  for (int i = 0; i < load.schema->num_fields(); ++i) TG_CHECK(change.take(i));
  layout.schema = arrow::schema(std::move(types));
  return layout;
}

}  // namespace tidegate::engine::file
