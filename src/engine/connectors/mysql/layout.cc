#include "engine/connectors/mysql/layout.h"

#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/hash.h"
#include "base/text.h"
#include "engine/connectors/mysql/catalog.h"
#include "engine/connectors/mysql/ledger.h"
#include "engine/core/plan.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"

namespace tidegate::engine::mysql {
namespace {

using protocol::SchemaChange;

constexpr std::size_t kMaxColumns = 1017, kNameBytes = 64;
constexpr int kKeyBytes = 3072;  // of an index of InnoDB's
constexpr int kOtherBytes = 32;  // of a key's column that is neither text nor bytes

std::unexpected<Error> refused(const std::string& table, const std::string& what,
                               std::string_view remedy) {
  return fail(Code::Invalid, fmt::format("table \"{}\": {}; {}", table, what, remedy),
              "schema_change");
}

std::vector<std::string> folded(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const auto& name : names) out.push_back(ascii_lower(name));
  std::ranges::sort(out);
  return out;
}

bool same_columns(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return folded(a) == folded(b);
}

bool among(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names,
                             [&](const auto& n) { return ascii_lower(n) == ascii_lower(name); });
}

// Beyond the basic plane there is no letter for a name.
bool has_wide_letter(std::string_view name) {
  return std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) >= 0xF0; });
}

Status check_names(const std::string& table, const LoadPlan& load, const TableLayout& now) {
  constexpr const char* kRemedy =
      "rename it in the source, or leave it out (`columns` of the entity)";
  const auto names = load.schema->field_names();
  for (const std::string& name : names) {
    const auto wrong = [&](std::string_view why) {
      return refused(table, fmt::format("the name of the column \"{}\" {}", clip(name, 80), why),
                     kRemedy);
    };
    if (std::ranges::count(folded(names), ascii_lower(name)) > 1)
      return wrong("is there twice; MySQL tells no letters by their case");
    if (name != kLoadIdColumn && name.starts_with("_tidegate_")) return wrong("is reserved");
    if (name.empty() || name.size() > kNameBytes)
      return wrong(name.empty() ? "is empty" : "is longer than the 64 bytes that it may have here");
    if (name.ends_with(' ')) return wrong("ends with a blank, which MySQL does not take");
    if (has_wide_letter(name)) return wrong("has a letter that MySQL takes in no name");
    if (among(now.generated, name))
      return wrong("is that of a generated column, which cannot be written");
  }
  return {};
}

Status add_column(const std::string& table, SchemaChange mode, DestinationColumn column,
                  bool needed, LayoutChange& change, bool& skipped) {
  const std::string what =
      fmt::format("column \"{}\" ({}) is new", column.name, column.type.declared);
  if (mode == SchemaChange::Fail) {
    return refused(table, what,
                   "schemaChange (--schema-change) is `fail`: add it by hand, or set `evolve`");
  }
  skipped = mode == SchemaChange::Ignore && !needed;
  change.sentences.push_back(fmt::format("{}; {}", what, skipped ? "ignored" : "added"));
  if (!skipped) change.added.push_back(std::move(column));
  return {};
}

// An index takes no text without a length, so a key becomes text only where the load's has one. The
// other way round rows of the load would be compared with texts as numbers: 'x' is 0.
std::optional<TargetType> key_that_holds(const TargetType& existing, const TargetType& incoming,
                                         const TargetType& wide) {
  constexpr int kLongestOther = 67;  // characters of a decimal(65,30)
  if (wide.kind != Target::Text || wide.length > 0) return wide;
  if (incoming.kind != Target::Text || incoming.length < kLongestOther) return std::nullopt;
  return existing.kind == Target::Text ? std::nullopt : std::optional(incoming);
}

Status change_type(const std::string& table, const LoadPlan& load, const TargetType& incoming,
                   DestinationColumn& column, LayoutChange& change) {
  if (holds(column.type, incoming)) {
    if (column.type.kind == Target::Text && incoming.kind == Target::Json) {
      change.sentences.push_back(fmt::format("column \"{}\" is text and gets JSON", column.name));
    }
    return {};
  }
  const std::string what = fmt::format("column \"{}\" was {} and is {} now", column.name,
                                       column.type.declared, incoming.declared);
  auto wide = widen(column.type, incoming);
  if (wide && load.schema_change != SchemaChange::Evolve) {
    return refused(table, what,
                   "MySQL would round or cut values without a word: adapt the table, exclude the "
                   "column, or set schemaChange (--schema-change) to `evolve`");
  }
  if (wide && among(load.key, column.name)) {
    wide = key_that_holds(column.type, incoming, *wide);
    if (!wide) {
      return refused(table, what,
                     "no row would be found by such a key again: copy it as text (`types` of a "
                     "source of files), or drop the table in the destination");
    }
  }
  if (!wide) {
    return refused(table, what,
                   "no type holds both; exclude the column, or drop it in the destination");
  }
  if (!column.settled) {
    return refused(table, what,
                   "the column has a default or another property that a change of its type would "
                   "lose: alter it by hand");
  }
  change.sentences.push_back(fmt::format("{}; widened to {}", what, wide->declared));
  column.type = *wide;
  change.widened.push_back(column);
  return {};
}

Status note_missing(const std::string& table, const TableLayout& now, const LoadPlan& load,
                    LayoutChange& change) {
  for (const DestinationColumn& c : now.columns) {
    if (among(load.schema->field_names(), c.name) || c.name == kLoadIdColumn) continue;
    const std::string what = fmt::format("column \"{}\" is not in the source", c.name);
    if (load.schema_change == SchemaChange::Fail) {
      return refused(table, what,
                     "schemaChange (--schema-change) is `fail`: drop it by hand, or set `evolve`");
    }
    change.sentences.push_back(what + "; kept, new rows hold its default or NULL");
  }
  return {};
}

// A key that is not the load's would refuse its rows.
Status plan_key(const std::string& table, const TableLayout& now, const LoadPlan& load,
                LayoutChange& change) {
  change.key = load.key;
  if (!now.primary_key.empty() && !same_columns(now.primary_key, load.key)) {
    if (!now.own_key) {
      return refused(
          table,
          fmt::format("its primary key is {} and this load has {}", name_list(now.primary_key),
                      load.key.empty() ? "no key" : name_list(load.key)),
          "the key is not Tidegate's: alter it by hand, or use a mode with that key (--key)");
    }
    change.drop_primary_key = true;
    change.sentences.push_back(
        load.key.empty()
            ? fmt::format("the primary key ({}) was dropped", name_list(now.primary_key))
            : fmt::format("the primary key is {} now", name_list(load.key)));
  }
  const bool unique =
      same_columns(now.primary_key, load.key) ||
      std::ranges::any_of(now.unique, [&](const auto& u) { return same_columns(u, load.key); });
  change.add_primary_key = !load.key.empty() && !unique;
  change.key_last = change.add_primary_key && load.kind == LoadKind::Replace && !now.empty;
  if (load.kind != LoadKind::Merge) return {};
  for (const DestinationColumn& c : change.written) {
    if (!among(load.key, c.name) || c.exact) continue;
    return refused(table,
                   fmt::format("the key column \"{}\" takes some texts that differ for the same, "
                               "as \"a\" and \"A\"",
                               c.name),
                   "ALTER TABLE … MODIFY it with COLLATE utf8mb4_nopad_bin (MySQL: "
                   "utf8mb4_0900_bin)");
  }
  return {};
}

// What a text or bytes of a key may be long, so that the index takes all of its columns.
int key_length(const LoadPlan& load, const arrow::Field& field) {
  int texts = 0, others = 0;
  for (const auto& name : load.key) {
    const auto type = load.schema->GetFieldByName(name)->type()->id();
    const bool text = arrow::is_base_binary_like(type) || type == arrow::Type::NA ||
                      type == arrow::Type::FIXED_SIZE_BINARY;
    ++(text ? texts : others);
  }
  const int bytes = (kKeyBytes - others * kOtherBytes) / std::max(texts, 1);
  const auto type = field.type()->id();
  const bool letters = arrow::is_string(type) || type == arrow::Type::NA;
  return std::max(letters ? bytes / 4 : bytes, 1);
}

Result<TargetType> incoming_type(const LoadPlan& load, const arrow::Field& field,
                                 const DestinationColumn* there) {
  if (!among(load.key, field.name())) return target_type(field);
  const int length =
      there != nullptr && there->type.length > 0 ? there->type.length : key_length(load, field);
  return key_type(field, length);
}

Status plan_column(const std::string& table, const TableLayout& now, const LoadPlan& load, int i,
                   LayoutChange& change) {
  const arrow::Field& field = *load.schema->field(i);
  const DestinationColumn* there = now.find(field.name());
  TG_TRY(const TargetType incoming, incoming_type(load, field, there));
  DestinationColumn column{.name = field.name(), .type = incoming};
  bool skipped = false;
  const bool in_key = among(load.key, field.name());
  if (change.create) {
    change.columns.push_back(column);
  } else if (there == nullptr) {
    const bool needed = in_key || field.name() == kLoadIdColumn;
    TG_CHECK(add_column(table, load.schema_change, column, needed, change, skipped));
  } else {
    column = *there;
    // Without any value it fits every other.
    if (field.type()->id() != arrow::Type::NA)
      TG_CHECK(change_type(table, load, incoming, column, change));
    // An index takes no text without a length.
    if (in_key && incoming.length > 0 && column.type.kind == incoming.kind &&
        column.type.length == 0) {
      change.keyed.push_back({.name = column.name, .type = incoming});
    }
  }
  if (skipped) return {};
  change.written.push_back(column);
  change.staged.push_back(incoming);
  change.fields.push_back(i);
  return {};
}

}  // namespace

const DestinationColumn* TableLayout::find(std::string_view name) const {
  const auto at = std::ranges::find_if(
      columns, [&](const auto& c) { return ascii_lower(c.name) == ascii_lower(name); });
  return at == columns.end() ? nullptr : &*at;
}

std::string short_name(std::string_view name) {
  if (name.size() <= kNameBytes) return std::string(name);
  return fmt::format("{}_{:016x}", clip(name, kNameBytes - 17), fnv1a(name));
}

std::string column_list(const Connection& db, const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + db.identifier(name);
  return out;
}

std::string definition(const Connection& db, const std::string& name, const TargetType& type) {
  const std::string column = db.identifier(name);
  std::string out = fmt::format("{} {}", column, type.declared);
  if (type.kind == Target::Text || type.kind == Target::Json)
    out += fmt::format(" CHARACTER SET utf8mb4 COLLATE {}", db.exact_collation());
  // MariaDB's own form of the type; MySQL's rounds numbers beyond 64 bits.
  if (type.kind == Target::Json) out += fmt::format(" CHECK (json_valid({}))", column);
  return out;
}

// ---- as it is

namespace {

Status read_columns(Connection& db, const std::string& table, TableLayout& layout) {
  TG_TRY(const Rows columns,
         db.query(fmt::format(
             "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE = 'NO', coalesce(COLUMN_DEFAULT, "
             "'NULL') = 'NULL' AND EXTRA = '' AND COLUMN_COMMENT = '', "
             "coalesce(GENERATION_EXPRESSION, '') <> '', COLLATION_NAME IS NULL OR COLLATION_NAME "
             "LIKE '%nopad\\_bin' OR COLLATION_NAME LIKE '%0900\\_bin', IS_NULLABLE = 'NO' AND "
             "(DATA_TYPE = 'timestamp' OR EXTRA LIKE '%auto\\_increment%') FROM "
             "information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} ORDER "
             "BY ORDINAL_POSITION",
             db.literal(table))));
  TG_TRY(const auto json, json_columns(db, table));
  for (int i = 0; i < columns.size(); ++i) {
    const std::string name = columns.text(i, 0);
    if (columns.flag(i, 4)) {
      layout.generated.push_back(name);
      continue;
    }
    DestinationColumn column{.name = name,
                             .type = from_declared(columns.text(i, 1)),
                             .not_null = columns.flag(i, 2),
                             .fills_null = columns.flag(i, 6),
                             .exact = columns.flag(i, 5),
                             .settled = columns.flag(i, 3)};
    if (column.type.declared == "longtext" && std::ranges::count(json, table + "." + name) > 0)
      column.type.kind = Target::Json;
    layout.columns.push_back(std::move(column));
  }
  return {};
}

Status read_keys(Connection& db, const std::string& table, TableLayout& layout) {
  TG_TRY(const Rows keys,
         db.query(fmt::format(
             "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS s WHERE "
             "TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} AND NON_UNIQUE = 0 AND INDEX_NAME NOT "
             "IN (SELECT INDEX_NAME FROM information_schema.STATISTICS p WHERE p.TABLE_SCHEMA = "
             "DATABASE() AND p.TABLE_NAME = {} AND (p.SUB_PART IS NOT NULL OR p.COLUMN_NAME IS "
             "NULL)) ORDER BY INDEX_NAME, SEQ_IN_INDEX",
             db.literal(table), db.literal(table))));
  std::string last;
  for (int i = 0; i < keys.size(); ++i) {
    if (keys.text(i, 0) != last) layout.unique.emplace_back();
    last = keys.text(i, 0);
    layout.unique.back().push_back(keys.text(i, 1));
    if (last == "PRIMARY") layout.primary_key.push_back(keys.text(i, 1));
  }
  TG_TRY(const auto own, Ledger(db).own_keys(table));
  layout.own_key = std::ranges::any_of(
      own, [&](const auto& key) { return same_columns(key, layout.primary_key); });
  TG_TRY(const Rows referring,
         db.query(fmt::format("SELECT group_concat(DISTINCT TABLE_NAME ORDER BY TABLE_NAME "
                              "SEPARATOR ', ') FROM information_schema.KEY_COLUMN_USAGE WHERE "
                              "REFERENCED_TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME = "
                              "{0} AND NOT (TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {0})",
                              db.literal(table))));
  layout.referenced_by = referring.text(0, 0);
  return {};
}

}  // namespace

Result<TableLayout> read_layout(Connection& db, const std::string& table) {
  TableLayout layout;
  TG_TRY(const Rows found,
         db.query(fmt::format("SELECT TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE "
                              "TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {}",
                              db.literal(table))));
  if (found.size() == 0) return layout;
  if (found.text(0, 0) != "BASE TABLE" && found.text(0, 0) != "SYSTEM VERSIONED") {
    return refused(table, "it is no table (a view or a sequence)",
                   "choose another destination or rename the entity");
  }
  // Of others what was written stays when the transaction fails, and readers see every part.
  if (found.text(0, 1) != "InnoDB") {
    return refused(table,
                   fmt::format("its engine is {}, which knows no transactions", found.text(0, 1)),
                   "ALTER TABLE … ENGINE = InnoDB, or rename the entity");
  }
  layout.exists = true;
  TG_CHECK(read_columns(db, table, layout));
  TG_CHECK(read_keys(db, table, layout));
  TG_TRY(const Rows rows,
         db.query(fmt::format("SELECT EXISTS (SELECT 1 FROM {})", db.identifier(table))));
  layout.empty = !rows.flag(0, 0);
  return layout;
}

// ---- as it must be

Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load) {
  LayoutChange change;
  TG_CHECK(check_names(table, load, now));
  if (load.kind == LoadKind::Replace && !now.referenced_by.empty()) {
    return fail(Code::Invalid,
                fmt::format("table \"{}\": foreign keys of {} refer to its rows, which a full load "
                            "would replace; use `incremental` with a key (--incremental --key), or "
                            "drop the foreign keys",
                            table, now.referenced_by),
                "table_referenced");
  }
  change.create = !now.exists;
  for (int i = 0; i < load.schema->num_fields(); ++i)
    TG_CHECK(plan_column(table, now, load, i, change));
  const std::size_t count = change.create
                                ? change.columns.size()
                                : now.columns.size() + now.generated.size() + change.added.size();
  const bool wide = change.written.size() >= kMaxColumns;  // the stage has one of its own
  if (wide || count > kMaxColumns) {
    return refused(table,
                   fmt::format("it would have {} columns, and MySQL takes at most {}", count,
                               kMaxColumns - (wide ? 1 : 0)),
                   "leave some out (`columns` of the entity)");
  }
  if (change.create) {
    change.key = load.key;
    return change;
  }
  TG_CHECK(note_missing(table, now, load, change));
  TG_CHECK(plan_key(table, now, load, change));
  return change;
}

Status apply_layout(Connection& db, const std::string& table, const TableLayout& now,
                    const LayoutChange& change) {
  if (change.create) {
    std::string sql;
    for (const auto& c : change.columns)
      sql += (sql.empty() ? "" : ", ") + definition(db, c.name, c.type);
    if (!change.key.empty()) sql += fmt::format(", PRIMARY KEY ({})", column_list(db, change.key));
    // Whoever made it meanwhile is met by the plan that is made again in the transaction.
    return db.exec(fmt::format(
        "CREATE TABLE IF NOT EXISTS {} ({}) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET "
        "utf8mb4 COLLATE {}",
        db.identifier(table), sql, db.exact_collation()));
  }
  std::string steps;
  const auto step = [&](const std::string& text) { steps += (steps.empty() ? "" : ", ") + text; };
  if (change.drop_primary_key) {
    step("DROP PRIMARY KEY");
    // The key stays what no load ever left empty; another one may.
    for (const auto& name : now.primary_key) {
      const DestinationColumn* column = now.find(name);
      const bool widened = std::ranges::count(change.widened, name, &DestinationColumn::name) > 0;
      if (column != nullptr && !widened && column->settled)
        step("MODIFY COLUMN " + definition(db, name, column->type));
    }
  }
  for (const auto& c : change.added) step("ADD COLUMN " + definition(db, c.name, c.type));
  for (const auto& c : change.widened) {
    const bool keeps = c.not_null && !among(now.primary_key, c.name);
    step(fmt::format("MODIFY COLUMN {}{}", definition(db, c.name, c.type),
                     keeps ? " NOT NULL" : ""));
  }
  if (!steps.empty())
    TG_CHECK(db.exec(fmt::format("ALTER TABLE {} {}", db.identifier(table), steps)));
  if (!change.add_primary_key || change.key_last) return {};
  return add_key(db, table, change);
}

Status add_key(Connection& db, const std::string& table, const LayoutChange& change) {
  std::string steps;
  for (const auto& c : change.keyed)
    steps += fmt::format("MODIFY COLUMN {} NOT NULL, ", definition(db, c.name, c.type));
  return db.exec(fmt::format("ALTER TABLE {} {}ADD PRIMARY KEY ({})", db.identifier(table), steps,
                             column_list(db, change.key)));
}

}  // namespace tidegate::engine::mysql
