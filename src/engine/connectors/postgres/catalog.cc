#include "engine/connectors/postgres/catalog.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/core/context.h"

namespace tidegate::engine::postgres {
namespace {

// Partitions are read through the table that they belong to.
constexpr const char* kTables =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, CASE WHEN c.relkind IN ('r', 'm', 'p') AND "
    "c.reltuples >= 0 THEN c.reltuples::bigint END, has_schema_privilege(n.oid, 'USAGE'), "
    "has_table_privilege(c.oid, 'SELECT'), c.relkind = 'm' AND NOT c.relispopulated, current_user "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', "
    "'v', 'm', 'f') AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname "
    "!~ "
    "'^pg_' AND c.relname !~ '^_tidegate_' AND (cardinality($1::text[]) = 0 OR n.nspname = ANY "
    "($1::text[])) ORDER BY n.nspname <> 'public', n.nspname, c.relname";

// Of a domain the base type counts, through domains over domains.
constexpr const char* kColumns =
    "WITH RECURSIVE base AS (SELECT t.oid AS of, t.oid, t.typbasetype, t.typtypmod, t.typtype, "
    "t.typcategory FROM pg_type t UNION ALL SELECT b.of, t.oid, t.typbasetype, CASE WHEN "
    "b.typtypmod >= 0 THEN b.typtypmod ELSE t.typtypmod END, t.typtype, t.typcategory FROM base b "
    "JOIN pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype) SELECT a.attrelid, a.attname, "
    "b.oid, CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE b.typtypmod END, b.typtype, "
    "b.typcategory, has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_attribute a JOIN "
    "base b ON b.of = a.atttypid AND b.typtype <> 'd' WHERE a.attrelid = ANY ($1::oid[]) AND "
    "a.attnum > 0 AND NOT a.attisdropped ORDER BY "
    "a.attrelid, a.attnum";

// Unique indexes without a condition or an expression; several columns of the primary key in their
// order.
constexpr const char* kKeys =
    "SELECT i.indrelid, i.indisprimary, i.indexrelid, a.attname, a.attnotnull FROM pg_index i "
    "CROSS "
    "JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute a "
    "ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE i.indrelid = ANY ($1::oid[]) AND "
    "i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= "
    "i.indnkeyatts ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid, k.place";

constexpr int kTries = 20;

std::string array_of(const std::vector<std::string>& texts) {
  std::string out = "{";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

std::string entity_name(std::string_view schema, std::string_view table) {
  return schema == "public" ? std::string(table) : fmt::format("{}.{}", schema, table);
}

Error forbidden(std::string message) { return {Code::Forbidden, std::move(message), {}, {}}; }

class CatalogReader {
 public:
  CatalogReader(Connection& db, const Wanted& wanted) : db_(db), wanted_(wanted) {}

  // nullopt: a table was dropped meanwhile, perhaps because another took its place.
  Result<std::optional<Found>> read(const std::vector<std::string>& schemas) {
    TG_TRY(const Rows tables, db_.query(kTables, {array_of(schemas)}));
    for (int i = 0; i < tables.size(); ++i) take_table(tables, i);
    std::vector<std::string> oids;
    for (const auto& [oid, entity] : wanted_tables_) oids.push_back(std::to_string(oid));
    if (!oids.empty()) {
      TG_TRY(const Rows columns, db_.query(kColumns, {array_of(oids)}));
      for (int i = 0; i < columns.size(); ++i) take_column(columns, i);
      TG_TRY(const Rows keys, db_.query(kKeys, {array_of(oids)}));
      for (int i = 0; i < keys.size(); ++i) take_key(keys, i);
      TG_TRY(const Rows left, db_.query("SELECT count(*) FROM pg_class WHERE oid = ANY ($1::oid[])",
                                        {array_of(oids)}));
      if (left.integer(0, 0) != std::ssize(oids)) return std::nullopt;
    }
    for (const std::string& entity : order_) {
      if (!twice_.contains(entity)) describe(entity);
    }
    // Neither: which of the two was meant is not known.
    for (const std::string& entity : twice_) {
      std::erase_if(found_.catalog.bad, [&](const BadEntity& b) { return b.name == entity; });
      bad(entity, data_error(fmt::format("two tables would be called \"{}\"; rename one, or name "
                                         "the schemas to read in `schemas`",
                                         entity)));
    }
    return std::optional(std::move(found_));
  }

 private:
  void bad(const std::string& entity, Error error) {
    found_.catalog.bad.push_back({entity, std::move(error)});
  }

  void take_table(const Rows& rows, int i) {
    const std::string schema(rows.text(i, 1)), name(rows.text(i, 2));
    const std::string entity = entity_name(schema, name);
    if (wanted_ && !wanted_(entity)) {
      found_.catalog.others.push_back(entity);
      return;
    }
    if (!seen_.insert(entity).second) {
      twice_.insert(entity);
      return;
    }
    const std::string shown = db_.identifier(schema) + "." + db_.identifier(name);
    if (!rows.flag(i, 5)) {
      return bad(entity, forbidden(fmt::format(
                             "the user may not use the schema; GRANT USAGE ON SCHEMA {} TO {}",
                             db_.identifier(schema), db_.identifier(rows.text(i, 8)))));
    }
    if (rows.flag(i, 7)) {
      return bad(
          entity,
          data_error(fmt::format(
              "the materialized view has never been filled; REFRESH MATERIALIZED VIEW {}", shown)));
    }
    Draft draft;
    draft.table = {rows.integer(i, 0), schema, name, {}};
    draft.info.name = entity;
    if (!rows.null(i, 4)) draft.info.rows = rows.integer(i, 4);
    draft.readable = rows.flag(i, 6);
    draft.user = rows.text(i, 8);
    wanted_tables_.emplace(draft.table.oid, entity);
    drafts_.emplace(entity, std::move(draft));
    order_.push_back(entity);
  }

  void take_column(const Rows& rows, int i) {
    Draft& draft = drafts_.at(wanted_tables_.at(rows.integer(i, 0)));
    TableColumn column;
    column.name = rows.text(i, 1);
    column.type = column_type({.oid = rows.integer(i, 2),
                               .typmod = rows.integer(i, 3),
                               .typtype = rows.text(i, 4).front(),
                               .category = rows.text(i, 5).front()});
    if (!draft.readable && !rows.flag(i, 6)) draft.hidden.push_back(column.name);
    draft.table.columns.push_back(std::move(column));
  }

  void take_key(const Rows& rows, int i) {
    Draft& draft = drafts_.at(wanted_tables_.at(rows.integer(i, 0)));
    const std::string column(rows.text(i, 3));
    if (rows.flag(i, 1)) draft.info.primary_key.push_back(column);
    draft.unique[rows.integer(i, 2)].emplace_back(column, rows.flag(i, 4));
  }

  void describe(const std::string& entity) {
    Draft& draft = drafts_.at(entity);
    const std::string shown =
        db_.identifier(draft.table.schema) + "." + db_.identifier(draft.table.name);
    if (!draft.readable && draft.hidden.size() == draft.table.columns.size()) {
      return bad(entity, forbidden(fmt::format("the user may not read it; GRANT SELECT ON {} TO {}",
                                               shown, db_.identifier(draft.user))));
    }
    if (!draft.hidden.empty()) {
      std::string list;
      for (const auto& name : draft.hidden)
        list += (list.empty() ? "" : ", ") + db_.identifier(name);
      draft.table.grant =
          fmt::format("GRANT SELECT ({}) ON {} TO {}", list, shown, db_.identifier(draft.user));
      draft.table.hidden = std::move(draft.hidden);
    }
    if (draft.table.columns.empty()) {
      return bad(entity, data_error("the table has no columns; nothing can be copied of it"));
    }
    // Of an index of several columns none is unique by itself.
    for (const auto& [index, columns] : draft.unique) {
      const auto& [name, not_null] = columns.front();
      if (columns.size() > 1 || !not_null || std::ranges::count(draft.info.key_candidates, name)) {
        continue;
      }
      draft.info.key_candidates.push_back(name);
    }
    arrow::FieldVector fields;
    std::vector<std::string> numbers;
    for (const TableColumn& c : draft.table.columns) {
      fields.push_back(to_field(c.name, c.type));
      if (is_time(c.type)) draft.info.cursor_candidates.push_back(c.name);
      if (is_whole_number(c.type)) numbers.push_back(c.name);
      if (c.type.kind == Kind::NumericText) {
        draft.info.warnings.push_back(
            fmt::format("column \"{}\" is numeric without a precision of at most 38 digits: it is "
                        "copied as text, digit by digit",
                        c.name));
      }
    }
    std::ranges::move(numbers, std::back_inserter(draft.info.cursor_candidates));
    draft.info.schema = arrow::schema(std::move(fields));
    found_.catalog.entities.push_back(std::move(draft.info));
    found_.tables.emplace(entity, std::move(draft.table));
  }

  struct Draft {
    Relation table;
    EntityInfo info;
    bool readable = false;
    std::string user;
    std::vector<std::string> hidden;
    std::map<std::int64_t, std::vector<std::pair<std::string, bool>>> unique;  // column, NOT NULL
  };
  Connection& db_;
  const Wanted& wanted_;
  Found found_;
  std::set<std::string> seen_, twice_;                 // entities
  std::map<std::int64_t, std::string> wanted_tables_;  // entity by oid
  std::map<std::string, Draft> drafts_;
  std::vector<std::string> order_;
};

}  // namespace

Result<Found> read_catalog(Connection& db, const std::vector<std::string>& schemas,
                           const Wanted& wanted) {
  for (int i = 0; i < kTries; ++i) {
    TG_TRY(auto found, CatalogReader(db, wanted).read(schemas));
    if (found) return std::move(*found);
  }
  return fail(Code::Unavailable,
              "tables come and go faster than they can be listed; try again, or name the schemas "
              "to read in `schemas`");
}

}  // namespace tidegate::engine::postgres
