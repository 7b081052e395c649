#include "engine/connectors/mongodb/stage.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "base/hash.h"

namespace tidegate::engine::mongodb {
namespace {

Doc majority() { return Doc().put("w", "majority"); }

std::string prefix_of(const Claim& claim) {
  return fmt::format("_tidegate_stage_{:016x}_", fnv1a(claim.job + '\0' + claim.entity));
}

}  // namespace

Stage::Stage(Connection& db, const Claim& claim, std::string cursor, Rng& rng)
    : db_(db),
      table_(claim.table),
      cursor_(std::move(cursor)),
      // Two starts without a server may have one fence.
      name_(fmt::format("{}{}_{:016x}", prefix_of(claim), claim.fence, rng.next())) {}

Status Stage::tidy(Connection& db, const Claim& claim) {
  const std::string prefix = prefix_of(claim);
  // Lower-case letters, digits and underscores mean themselves in a pattern.
  Doc pattern;
  pattern.put("$regex", std::string_view("^" + prefix));
  TG_TRY(const auto left, db.list_collections(Doc().put("name", pattern)));
  for (const Doc& info : left) {
    const std::string name = text_at(*info.get(), "name");
    std::int64_t fence = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), fence);
    // A newer attempt's is not ours to take: this one just does not know yet that it is fenced.
    if (fence <= claim.fence) TG_CHECK(db.drop(name));
  }
  return {};
}

Result<std::vector<Doc>> Stage::indexes_of_target(bool unique) {
  TG_TRY(const auto info, db_.collection_info(table_));
  if (!info) return std::vector<Doc>{};
  TG_TRY(const Doc reply, db_.run(Doc()
                                      .put("listIndexes", std::string_view(table_))
                                      .put("cursor", Doc().put("batchSize", 1000))));
  std::vector<Doc> out;
  const auto list = find_value(*reply.get(), "cursor.firstBatch");
  bson_iter_t at;
  if (!list || !bson_iter_recurse(&list->raw, &at)) return out;
  while (bson_iter_next(&at)) {
    std::uint32_t size = 0;
    const std::uint8_t* bytes = nullptr;
    bson_t one;
    bson_iter_document(&at, &size, &bytes);
    if (!bson_init_static(&one, bytes, size) || text_at(one, "name") == "_id_") continue;
    const auto flag = find_value(one, "unique");
    if ((flag && bson_iter_as_bool(&flag->raw)) != unique) continue;
    Doc index;
    bson_iter_t member;
    for (bson_iter_init(&member, &one); bson_iter_next(&member);) {
      const std::string_view key = bson_iter_key(&member);
      if (key != "v" && key != "ns") index.put_value(key, member);
    }
    out.push_back(std::move(index));
  }
  return out;
}

Status Stage::create_indexes(bool unique) {
  TG_TRY(const auto indexes, indexes_of_target(unique));
  if (indexes.empty()) return {};
  TG_CHECK(db_.run(Doc()
                       .put("createIndexes", std::string_view(name_))
                       .put_list("indexes", indexes)
                       .put("writeConcern", majority())));
  return {};
}

Status Stage::create() {
  if (created_) return {};
  Doc command = Doc().put("create", std::string_view(name_));
  TG_TRY(const auto info, db_.collection_info(table_));
  if (const auto options = info ? document_at(*info->get(), "options") : std::nullopt) {
    bson_iter_t member;
    for (bson_iter_init(&member, options->get()); bson_iter_next(&member);) {
      command.put_value(bson_iter_key(&member), member);
    }
  }
  command.put("writeConcern", majority());
  TG_CHECK(db_.run(command));
  created_ = true;
  return create_indexes(true);
}

Result<Stage::Put> Stage::insert(std::vector<DocumentEncoder::Row>& rows) {
  std::vector<const bson_t*> raw;
  for (auto& row : rows) {
    if (bson_count_keys(row.id.get()) == 0) {
      bson_oid_t id;
      bson_oid_init(&id, nullptr);
      row.id.put("_id", id);
    }
    bson_concat(row.id.get(), row.fields.get());
    raw.push_back(row.id.get());
  }
  TG_TRY(Written written, db_.insert(name_, raw, false));
  Put out;
  for (auto& refused : written.refused) {
    if (!refused.of_id) {
      out.refused.push_back(std::move(refused));
      continue;
    }
    TG_CHECK(put_again(rows[refused.index]));
    ++out.superseded;
  }
  return out;
}

// The row's key is there: whose cursor is greater stays, and the later of equal ones. No value is
// less than any, and NaN is none.
Status Stage::put_again(const DocumentEncoder::Row& row) {
  Doc filter = with_id(row.id);
  const auto cursor = cursor_.empty() ? std::nullopt : find_value(*row.id.get(), cursor_.c_str());
  if (cursor) {
    Doc nan, none, not_greater;
    bson_append_double(nan.get(), "0", -1, std::numeric_limits<double>::quiet_NaN());
    bson_append_null(nan.get(), "1", -1);
    bson_append_array(none.get(), "$in", -1, nan.get());
    const bool is_nan = BSON_ITER_HOLDS_DOUBLE(&cursor->raw) &&
                        bson_iter_double(&cursor->raw) != bson_iter_double(&cursor->raw);
    not_greater.put_value("$lte", cursor->raw);
    std::vector<Doc> ways{Doc().put(cursor_, none)};
    if (!BSON_ITER_HOLDS_NULL(&cursor->raw) && !is_nan)
      ways.push_back(Doc().put(cursor_, not_greater));
    filter.put_list("$or", ways);
  }
  TG_CHECK(db_.update_all(name_, {Update{std::move(filter), row.id, false}}, true));
  return {};
}

Result<std::int64_t> Stage::seal() {
  TG_CHECK(create());
  TG_CHECK(create_indexes(false));
  return db_.count(name_);
}

Result<std::string> Stage::uuid() {
  TG_TRY(const auto info, db_.collection_info(name_));
  return info ? bytes_at(*info->get(), "info.uuid") : std::string();
}

Status Stage::take_place() {
  const std::string in = db_.database() + ".";
  TG_CHECK(db_.run(Doc()
                       .put("renameCollection", std::string_view(in + name_))
                       .put("to", std::string_view(in + table_))
                       .put("dropTarget", true)
                       .put("writeConcern", majority()),
                   "admin"));
  created_ = false;
  return {};
}

Status Stage::drop() {
  if (!created_) return {};
  TG_CHECK(db_.drop(name_));
  created_ = false;
  return {};
}

Status complete(Connection& db, Ledger& ledger, const Claim& claim, const Intent& intent) {
  return db.together([&]() -> Status {
    TG_CHECK(ledger.lock_fence(claim));
    TG_CHECK(ledger.settle_rejected(claim, intent.stage, true));
    TG_CHECK(ledger.set_layout(claim, intent.layout));
    return ledger.store(claim, intent.state);
  });
}

Status settle(Connection& db, Ledger& ledger, const Claim& claim, const Intent& intent) {
  const auto placed = [&]() -> Result<bool> {
    TG_TRY(const auto info, db.collection_info(claim.table));
    return info && !intent.uuid.empty() && bytes_at(*info->get(), "info.uuid") == intent.uuid;
  };
  TG_TRY(bool done, placed());
  if (!done) {
    // Without its stage the older attempt cannot rename it any more; it may just have done so.
    TG_CHECK(db.drop(intent.stage));
    TG_TRY(done, placed());
  }
  if (done) return complete(db, ledger, claim, intent);
  return db.together([&]() -> Status {
    TG_CHECK(ledger.lock_fence(claim));
    TG_CHECK(ledger.settle_rejected(claim, intent.stage, false));
    return ledger.store(claim, std::nullopt);
  });
}

}  // namespace tidegate::engine::mongodb
