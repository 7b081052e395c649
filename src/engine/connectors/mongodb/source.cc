#include "engine/connectors/mongodb/source.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "base/text.h"
#include "engine/connectors/mongodb/bson_json.h"
#include "engine/core/selection.h"
#include "engine/core/text_order.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr std::int64_t kBatchRows = 16LL * 1024;
static_assert(kBatchRows <= kMaxBatchRows);
constexpr std::int64_t kCellBytes = 8;
constexpr std::size_t kMaxFields = 10'000;
constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kSampledEntities = 200, kSampledDocuments = 1'000;
constexpr std::size_t kShownBytes = 4096;
constexpr const char* kDocument = "document";

// `orders _id=42`, for a row that is rejected.
std::string locator(const std::string& entity, const bson_t& document) {
  const auto id = find_value(document, "_id");
  if (!id) return entity;
  const auto text = json_of(id->raw);
  return text ? fmt::format("{} _id={}", entity, clip(*text, 100)) : entity;
}

// Runs while it lives; the connection is used by nobody else meanwhile.
class FindReader final : public Reader {
 public:
  FindReader(Connection& db, std::unique_ptr<Cursor> cursor, std::string entity,
             DocumentDecoder decoder, bool ordered)
      : db_(db),
        cursor_(std::move(cursor)),
        entity_(std::move(entity)),
        decoder_(std::move(decoder)),
        ordered_(ordered) {}
  ~FindReader() override {
    cursor_.reset();
    db_.end_snapshot();
  }

  std::shared_ptr<arrow::Schema> schema() const override { return decoder_.schema(); }
  bool ordered_by_cursor() const override { return ordered_; }

  Result<std::optional<ReadBatch>> next() override {
    ReadBatch out;
    const auto full = [&] {
      const auto rows = decoder_.rows() + static_cast<std::int64_t>(out.rejected.size());
      // A field that a document lacks takes its room in the batch all the same.
      const auto cells = decoder_.rows() * decoder_.schema()->num_fields() * kCellBytes;
      return rows >= kBatchRows || decoder_.bytes() + cells >= kMaxBatchBytes;
    };
    while (!done_ && !full()) {
      TG_TRY(const bson_t* document, cursor_->next());
      done_ = document == nullptr;
      if (done_) break;
      std::string why = decoder_.take(*document);
      if (why.empty()) continue;
      const auto shown = json_of(*document);
      out.rejected.push_back({locator(entity_, *document), std::move(why),
                              std::string(clip(shown ? *shown : "", kShownBytes))});
    }
    if (decoder_.rows() == 0 && out.rejected.empty()) return std::nullopt;
    out.bytes = decoder_.bytes();
    TG_TRY(out.batch, decoder_.finish());
    return out;
  }

 private:
  Connection& db_;
  std::unique_ptr<Cursor> cursor_;
  const std::string entity_;
  DocumentDecoder decoder_;
  const bool ordered_;
  bool done_ = false;
};

// What compares with numbers, texts or dates alone, and in their order.
enum class Bracket : std::uint8_t { None, Number, Text, Date };

Bracket bracket_of(const FieldGuess& field) {
  // A filter would take it for a path.
  if (field.name.find('.') != std::string::npos || field.name.starts_with('$')) {
    return Bracket::None;
  }
  switch (field.kind()) {
    case ColumnKind::Integer:
    case ColumnKind::Double:
    case ColumnKind::Decimal:
      return Bracket::Number;
    case ColumnKind::Text:
      return field.kinds == kText ? Bracket::Text : Bracket::None;
    case ColumnKind::Date:
      return Bracket::Date;
    default:
      return Bracket::None;
  }
}

// A bound as a condition; nullopt: it cannot be handed down. `rounded`: up or down to what the
// server can hold, always outwards.
std::optional<Doc> compared(const CursorValue& v, bool lower) {
  const char* than = lower ? "$gte" : "$lte";
  switch (v.kind()) {
    case CursorKind::Integer:
      return Doc().put(than, v.as_integer());
    case CursorKind::Real: {
      Doc d;
      bson_append_double(d.get(), than, -1, v.as_real());
      return d;
    }
    case CursorKind::Decimal: {
      bson_decimal128_t value;
      if (!exact_decimal(v.to_string(), value)) return std::nullopt;
      Doc d;
      bson_append_decimal128(d.get(), than, -1, &value);
      return d;
    }
    case CursorKind::Timestamp: {
      const Int128 ms = v.as_ns() / 1'000'000 + (lower ? -1 : 1);
      return Doc().put_date(than, static_cast<std::int64_t>(ms));
    }
    case CursorKind::Text:
      break;
    case CursorKind::Date:
      return std::nullopt;
  }
  const std::string& text = v.as_text();
  // Values below it that come after it in their own order are for the engine to see and to refuse.
  if (lower && may_be_followed_out_of_order(text)) return std::nullopt;
  return Doc().put(than, std::string_view(text));
}

// Values of another type compare with none; a document that came meanwhile must be seen, too.
Doc others(Bracket bracket) {
  static constexpr std::string_view kTypes[] = {
      "double",     "int",    "long",      "decimal", "string", "date",
      "objectId",   "object", "array",     "binData", "bool",   "regex",
      "javascript", "symbol", "timestamp", "minKey",  "maxKey", "undefined"};
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::size(kTypes); ++i) {
    const Bracket of = i < 4    ? Bracket::Number
                       : i == 4 ? Bracket::Text
                       : i == 5 ? Bracket::Date
                                : Bracket::None;
    if (of != bracket) names.emplace_back(kTypes[i]);
  }
  return Doc().put_texts("$type", names);
}

// Rows with the value inside the bound, without one, and of another type.
std::optional<Doc> bound_filter(const std::string& field, Bracket bracket, const CursorValue& v,
                                bool lower) {
  const auto inside = compared(v, lower);
  if (!inside) return std::nullopt;
  std::vector<Doc> ways{Doc().put(field, *inside), Doc().put_null(field),
                        Doc().put(field, others(bracket))};
  if (bracket == Bracket::Number) {
    Doc nan;
    bson_append_double(nan.get(), field.c_str(), -1, std::numeric_limits<double>::quiet_NaN());
    ways.push_back(std::move(nan));
  }
  return Doc().put_list("$or", ways);
}

Result<Doc> condition(const std::string& entity, const std::string& where) {
  Doc holder;
  const std::string why = append_json(holder.get(), "where", where);
  auto filter = why.empty() ? document_at(*holder.get(), "where") : std::nullopt;
  if (filter) return std::move(*filter);
  return fail(Code::Invalid,
              fmt::format("entity \"{}\": the condition `where` {}; write a filter of MongoDB as "
                          "JSON, like {{\"status\": \"paid\"}}",
                          entity, why.empty() ? "is no document" : why));
}

}  // namespace

Status MongoSource::connect() {
  if (db_) return {};
  TG_TRY(db_, Connection::open(config_, context_.stop));
  return {};
}

Result<std::optional<std::string>> MongoSource::table_place(const std::string& entity) {
  TG_CHECK(connect());
  return db_->place_of(entity);
}

Status MongoSource::check() {
  TG_CHECK(connect());
  TG_CHECK(db_->list_collections({}));
  return {};
}

Result<EntityInfo> MongoSource::look_into(const std::string& name, bool keyed,
                                          std::int64_t max_documents) {
  ShapeGuess guess;
  std::int64_t seen = 0;
  Doc options;
  if (config_.documents) options.put("projection", Doc().put("_id", 1));
  if (max_documents != kAll) options.put("limit", max_documents);
  TG_CHECK(db_->each(name, {}, options, [&](const bson_t& document) -> Result<bool> {
    guess.add(document);
    ++seen;
    if (guess.fields().size() <= kMaxFields) return true;
    return fail(data_error(fmt::format(
        "collection \"{}\": its documents have more than {} different fields; set `mode` of "
        "the source to `document`, or keep what varies inside one field",
        name, kMaxFields)));
  }));
  EntityInfo info;
  info.name = name;
  Shape shape;
  shape.fields = guess.fields();
  arrow::FieldVector fields;
  for (const FieldGuess& f : shape.fields) {
    shape.columns.push_back({.name = f.name,
                             .kind = f.kind(),
                             .precision = std::max(f.int_digits + f.scale, 1),
                             .scale = f.scale});
    if (bracket_of(f) != Bracket::None) info.cursor_candidates.push_back(f.name);
    if (std::popcount(f.kinds) > 1 &&
        (f.kind() == ColumnKind::Text || f.kind() == ColumnKind::Json)) {
      info.warnings.push_back(
          fmt::format("the field \"{}\" holds values of several types, which "
                      "are copied as {}",
                      f.name, f.kind() == ColumnKind::Text ? "text" : "JSON"));
    }
  }
  if (config_.documents) {
    shape.columns.push_back({.name = kDocument, .kind = ColumnKind::Json, .whole = true});
  }
  for (const SourceColumn& c : shape.columns) fields.push_back(c.field());
  info.schema = arrow::schema(std::move(fields));
  if (keyed && info.schema->GetFieldIndex("_id") >= 0) info.primary_key = {"_id"};
  if (shape.columns.empty()) {
    info.warnings.push_back(
        fmt::format("\"{}\" has no columns: {}; leave it out until it has some", name,
                    seen == 0 ? "it holds no document" : "none of its documents has a field"));
  }
  if (max_documents == kAll || seen < max_documents) {
    info.rows = seen;
  } else {
    TG_TRY(info.rows, db_->count(name));
    info.warnings.push_back(
        fmt::format("columns and types are a guess from the first {} documents", seen));
  }
  shapes_.insert_or_assign(name, std::move(shape));
  return info;
}

Result<Catalog> MongoSource::look(const Wanted& wanted, std::int64_t max_entities,
                                  std::int64_t max_documents) {
  TG_CHECK(connect());
  TG_TRY(const auto found, db_->list_collections({}));
  std::map<std::string, bool> names;  // → whether `_id` is unique
  for (const Doc& info : found) {
    const std::string name = text_at(*info.get(), "name");
    if (name.starts_with("system.") || name.starts_with("_tidegate_")) continue;
    names.emplace(name, text_at(*info.get(), "type") == "collection");
  }
  Catalog catalog;
  shapes_.clear();
  for (const auto& [name, keyed] : names) {
    if ((wanted && !wanted(name)) ||
        static_cast<std::int64_t>(catalog.entities.size()) >= max_entities) {
      catalog.others.push_back(name);
      continue;
    }
    auto info = look_into(name, keyed, max_documents);
    if (info) {
      catalog.entities.push_back(std::move(*info));
    } else if (info.error().code == Code::Cancelled || info.error().code == Code::Unavailable) {
      return fail(info.error());
    } else {
      catalog.bad.push_back({name, info.error()});
    }
  }
  return catalog;
}

Result<Catalog> MongoSource::discover(const Wanted& wanted) { return look(wanted, kAll, kAll); }

Result<Catalog> MongoSource::sample() { return look({}, kSampledEntities, kSampledDocuments); }

// The fields that are read; nullopt: whole documents are.
std::optional<Doc> MongoSource::projection(const ReadParams& params, const Shape& shape) {
  if (params.columns.size() == shape.columns.size()) return std::nullopt;
  Doc out;
  bool id = false;
  for (const std::string& name : params.columns) {
    const auto column = std::ranges::find(shape.columns, name, &SourceColumn::name);
    // Such names are paths in a projection.
    const bool path = name.find('.') != std::string::npos || name.starts_with('$');
    if (path || column->whole) return std::nullopt;
    id = id || name == "_id";
    out.put(name, 1);
  }
  if (!id) out.put("_id", 0);
  return out;
}

Result<std::unique_ptr<Reader>> MongoSource::open(const ReadParams& params, const Partition&) {
  TG_CHECK(connect());
  const auto known = shapes_.find(params.entity);
  if (known == shapes_.end()) {
    return fail(Code::NotFound,
                fmt::format("there is no collection \"{}\" in {}", params.entity, config_.place));
  }
  const Shape& shape = known->second;
  std::vector<SourceColumn> columns;
  for (const std::string& name : params.columns) {
    const auto column = std::ranges::find(shape.columns, name, &SourceColumn::name);
    if (column == shape.columns.end()) {
      return fail(Code::Invalid,
                  fmt::format("there is no field \"{}\" in \"{}\"", name, params.entity));
    }
    columns.push_back(*column);
  }
  std::vector<Doc> conditions;
  for (const auto& where : params.where) {
    TG_TRY(Doc filter, condition(params.entity, where));
    conditions.push_back(std::move(filter));
  }
  Doc options;
  if (const auto fields = projection(params, shape)) options.put("projection", *fields);
  const auto cursor =
      std::ranges::find(shape.fields, params.cursor.value_or(""), &FieldGuess::name);
  if (cursor != shape.fields.end() && cursor->kind() == ColumnKind::ObjectId) {
    return fail(
        Code::Invalid,
        fmt::format("the field \"{}\" of \"{}\" holds ObjectIds, which each client makes from "
                    "its own clock: a new one may be less than one that was read, and its "
                    "document would be left out; name a date, number or text that grows "
                    "(--cursor), or copy all of it (--mode full)",
                    cursor->name, params.entity));
  }
  const bool ordered =
      params.cursor && cursor != shape.fields.end() && bracket_of(*cursor) != Bracket::None;
  if (ordered) {
    const Bracket bracket = bracket_of(*cursor);
    for (const bool lower : {true, false}) {
      const auto& v = lower ? params.from : params.to;
      auto filter = v ? bound_filter(*params.cursor, bracket, *v, lower) : std::nullopt;
      if (filter) conditions.push_back(std::move(*filter));
    }
    options.put("sort", Doc().put(*params.cursor, 1)).put("allowDiskUse", true);
    if (bracket == Bracket::Text) options.put("collation", Doc().put("locale", "simple"));
  }
  const Doc filter = conditions.empty() ? Doc() : Doc().put_list("$and", conditions);
  TG_CHECK(db_->begin_snapshot(params.entity));
  TG_TRY(auto found, db_->find(params.entity, filter, options));
  return std::make_unique<FindReader>(*db_, std::move(found), params.entity,
                                      DocumentDecoder(std::move(columns)), ordered);
}

}  // namespace tidegate::engine::mongodb
