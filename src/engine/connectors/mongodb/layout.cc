#include "engine/connectors/mongodb/layout.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "engine/core/plan.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"

namespace tidegate::engine::mongodb {
namespace {

using protocol::SchemaChange;

constexpr const char* kTables = "_tidegate_tables";

std::unexpected<Error> refused(const std::string& table, const std::string& what,
                               std::string_view remedy) {
  return fail(Code::Invalid, fmt::format("collection \"{}\": {}; {}", table, what, remedy),
              "schema_change");
}

Status check_names(const std::string& table, const LoadPlan& load) {
  constexpr const char* kRemedy =
      "rename it in the source, or leave it out (`columns` of the entity)";
  for (const auto& field : load.schema->fields()) {
    const std::string& name = field->name();
    const std::string what = fmt::format("the column \"{}\"", clip(name, 80));
    if (std::ranges::count(load.schema->field_names(), name) > 1) {
      return refused(table, what + " is there twice", kRemedy);
    }
    if (name != kLoadIdColumn && name.starts_with("_tidegate_")) {
      return refused(table, what + " has a reserved name", kRemedy);
    }
    if (name.empty() || name.starts_with('$') ||
        name.find_first_of(std::string_view(".\0", 2)) != std::string::npos) {
      return refused(table,
                     what +
                         " has a name that no query of MongoDB can address (empty, with a dot or "
                         "a NUL, or with a $ at its begin)",
                     kRemedy);
    }
    if (name == "_id" && load.key != std::vector<std::string>{"_id"}) {
      return refused(table, what + " can only be the key of the documents",
                     "name it as the key (--key _id) in a mode that keeps one row of each key, or "
                     "leave it out (`columns` of the entity)");
    }
  }
  return {};
}

// All numbers that are equal are one `_id`; of other types none is.
bool is_number(std::string_view type) {
  return type.starts_with("whole number") || type.starts_with("number") ||
         type.starts_with("decimal");
}

Status change_column(const std::string& table, const LoadPlan& load, LayoutColumn& column,
                     const std::string& type, LayoutChange& change) {
  if (type == column.type || type == kNoValues) return {};
  if (column.type == kNoValues) {
    column.type = type;
    return {};
  }
  const std::string what =
      fmt::format("column \"{}\" was {} and is {} now", column.name, column.type, type);
  const bool keyed = load.kind == LoadKind::Merge && !change.after.empty &&
                     std::ranges::count(load.key, column.name) > 0;
  if (keyed && !(is_number(type) && is_number(column.type))) {
    return refused(table, what + ", and no document would be found by its key again",
                   "reset the job, so that a full load makes them anew");
  }
  if (load.schema_change == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: reset the job, or set `evolve`");
  }
  const bool whole = load.kind == LoadKind::Replace;
  change.sentences.push_back(what + (whole ? "" : "; documents that are there keep their values"));
  column.type = type;
  return {};
}

Status note_missing(const std::string& table, const CollectionLayout& now, const LoadPlan& load,
                    LayoutChange& change) {
  for (const LayoutColumn& c : now.columns) {
    if (load.schema->GetFieldIndex(c.name) >= 0 || c.name == kLoadIdColumn) continue;
    const std::string what = fmt::format("column \"{}\" is not in the source", c.name);
    if (load.schema_change == SchemaChange::Fail) {
      return refused(table, what,
                     "schemaChange (--schema-change) is `fail`: reset the job, or set `evolve`");
    }
    change.sentences.push_back(what + "; new documents do not have it");
  }
  return {};
}

Status check_key(const std::string& table, const CollectionLayout& now, const LoadPlan& load) {
  if (load.kind != LoadKind::Merge || now.empty || now.key == load.key) return {};
  return refused(
      table,
      fmt::format("the `_id` of its documents is made of {} and this load has the key {}",
                  now.key.empty() ? "no column" : name_list(now.key), name_list(load.key)),
      "reset the job, so that a full load makes them anew, or name that key (--key)");
}

}  // namespace

Result<CollectionLayout> read_layout(Connection& db, const std::string& table) {
  TG_TRY(const auto info, db.collection_info(table));
  if (!info) return CollectionLayout{};
  const std::string type = text_at(*info->get(), "type");
  if (type != "collection" || find_value(*info->get(), "options.capped")) {
    return fail(Code::Invalid,
                fmt::format("\"{}\" is no ordinary collection ({}); rename it, or write to another "
                            "database",
                            table, type == "collection" ? "capped" : type));
  }
  TG_TRY(const auto owner, db.find_one(kTables, Doc().put("_id", std::string_view(table))));
  CollectionLayout layout;
  if (owner) layout = described_layout(*owner->get());
  layout.exists = true;
  layout.uuid = bytes_at(*info->get(), "info.uuid");
  TG_TRY(const bool any, db.any(table));
  layout.empty = !any;
  return layout;
}

Doc describe_layout(const CollectionLayout& layout) {
  std::vector<Doc> columns;
  for (const LayoutColumn& c : layout.columns) {
    columns.push_back(
        Doc().put("name", std::string_view(c.name)).put("type", std::string_view(c.type)));
  }
  return Doc().put_list("columns", columns).put_texts("key", layout.key);
}

CollectionLayout described_layout(const bson_t& document) {
  CollectionLayout layout;
  bson_iter_t at;
  if (const auto columns = find_value(document, "columns");
      columns && bson_iter_recurse(&columns->raw, &at)) {
    while (bson_iter_next(&at)) {
      std::uint32_t size = 0;
      const std::uint8_t* bytes = nullptr;
      bson_t one;
      if (!BSON_ITER_HOLDS_DOCUMENT(&at)) continue;
      bson_iter_document(&at, &size, &bytes);
      if (bson_init_static(&one, bytes, size)) {
        layout.columns.push_back({text_at(one, "name"), text_at(one, "type")});
      }
    }
  }
  if (const auto key = find_value(document, "key"); key && bson_iter_recurse(&key->raw, &at)) {
    while (bson_iter_next(&at)) layout.key.emplace_back(bson_iter_utf8(&at, nullptr));
  }
  return layout;
}

Result<LayoutChange> plan_layout(const std::string& table, const CollectionLayout& now,
                                 const LoadPlan& load) {
  TG_CHECK(check_names(table, load));
  TG_CHECK(check_key(table, now, load));
  LayoutChange change{.after = now, .fields = {}, .sentences = {}};
  if (load.kind == LoadKind::Replace || now.empty) change.after.key = load.key;
  for (int i = 0; i < load.schema->num_fields(); ++i) {
    const arrow::Field& field = *load.schema->field(i);
    const std::string type = type_words(field);
    const auto there = std::ranges::find(change.after.columns, field.name(), &LayoutColumn::name);
    if (there != change.after.columns.end()) {
      TG_CHECK(change_column(table, load, *there, type, change));
    } else if (!now.columns.empty()) {
      const std::string what = fmt::format("column \"{}\" ({}) is new", field.name(), type);
      const bool needed =
          std::ranges::count(load.key, field.name()) > 0 || field.name() == kLoadIdColumn;
      if (load.schema_change == SchemaChange::Fail) {
        return refused(table, what,
                       "schemaChange (--schema-change) is `fail`: reset the job, or set `evolve`");
      }
      const bool skipped = load.schema_change == SchemaChange::Ignore && !needed;
      change.sentences.push_back(fmt::format("{}; {}", what, skipped ? "ignored" : "added"));
      if (skipped) continue;
      change.after.columns.push_back({field.name(), type});
    } else {
      change.after.columns.push_back({field.name(), type});
    }
    change.fields.push_back(i);
  }
  TG_CHECK(note_missing(table, now, load, change));
  return change;
}

}  // namespace tidegate::engine::mongodb
