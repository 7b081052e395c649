#include "engine/connectors/mongodb/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/json.h"
#include "engine/core/locator.h"
#include "engine/core/rows.h"
#include "protocol/fields.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr std::size_t kIdPrefix = 8;  // bytes of an ObjectId; the other 4 count
constexpr int kTries = 8;

std::string raw_key(const Doc& id) {
  return {reinterpret_cast<const char*>(bson_get_data(id.get())), id.get()->len};
}

bson_oid_t oid_of(const std::string& prefix, std::uint32_t n) {
  bson_oid_t id;
  std::copy_n(prefix.data(), kIdPrefix, reinterpret_cast<char*>(id.bytes));
  for (int i = 0; i < 4; ++i)
    id.bytes[kIdPrefix + i] = static_cast<std::uint8_t>(n >> (24 - 8 * i));
  return id;
}

// The rows of an append that was never committed.
Doc of_append(const std::string& prefix) {
  return Doc().put("_id",
                   Doc().put("$gte", oid_of(prefix, 0)).put("$lte", oid_of(prefix, 0xFFFFFFFFU)));
}

bool loses(const std::optional<CursorValue>& later, const std::optional<CursorValue>& earlier) {
  return earlier && (!later || *later < *earlier);
}

}  // namespace

Result<std::vector<std::string>> MongoWriter::do_begin(const LoadPlan& load) {
  load_ = load;
  TG_TRY(const CollectionLayout now, read_layout(db_, claim_.table));
  TG_TRY(change_, plan_layout(claim_.table, now, load_));
  TG_TRY(encoder_, DocumentEncoder::make(*load_.schema, change_.fields, load_.key, timestamps_));
  TG_CHECK(Stage::tidy(db_, claim_));
  TG_CHECK(take_unfinished_away());
  if (load_.kind == LoadKind::Replace) {
    stage_.emplace(db_, claim_, load_.cursor.value_or(""), context_.rng);
  }
  return change_.sentences;
}

// Also of older attempts. Then the record forgets them, or a later append's end would be taken for
// theirs.
Status MongoWriter::take_unfinished_away() {
  if (unfinished_.empty()) return {};
  // Whose commit came through, but not its answer, is no longer written down: those rows stay.
  bool written_down = false;
  TG_CHECK(db_.together([&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    TG_TRY(const auto record, ledger_.read(claim_.job, claim_.entity));
    written_down = record && record->unfinished == unfinished_;
    return {};
  }));
  if (!written_down) {
    unfinished_.clear();
    return {};
  }
  TG_CHECK(db_.erase(claim_.table, of_append(unfinished_)));
  TG_CHECK(db_.together([&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    return ledger_.store(claim_, std::nullopt);
  }));
  unfinished_.clear();
  return {};
}

RejectedRow MongoWriter::rejected(const arrow::RecordBatch& batch, std::int64_t row,
                                  std::string why) const {
  return {key_locator(plan_.entity, load_.key, batch, row), std::move(why),
          json::write(row_json(batch, row))};
}

Result<std::vector<RejectedRow>> MongoWriter::do_write(const arrow::RecordBatch& batch) {
  std::vector<RejectedRow> out;
  TG_CHECK(stage_ ? write_staged(batch, out) : write_held(batch, out));
  report_.rejected += static_cast<std::int64_t>(out.size());
  return out;
}

Status MongoWriter::write_staged(const arrow::RecordBatch& batch, std::vector<RejectedRow>& out) {
  TG_CHECK(stage_->create());
  std::vector<DocumentEncoder::Row> rows;
  std::vector<std::int64_t> places;
  for (auto& refused : encoder_->encode(batch, [&](std::int64_t place, DocumentEncoder::Row row) {
         rows.push_back(std::move(row));
         places.push_back(place);
       })) {
    out.push_back(rejected(batch, refused.row, std::move(refused.why)));
  }
  TG_TRY(auto put, stage_->insert(rows));
  for (auto& refused : put.refused) {
    out.push_back(rejected(batch, places[refused.index], protocol::to_utf8(refused.message)));
  }
  report_.superseded += put.superseded;
  staged_ += static_cast<std::int64_t>(rows.size() - put.refused.size()) - put.superseded;
  return {};
}

Status MongoWriter::write_held(const arrow::RecordBatch& batch, std::vector<RejectedRow>& out) {
  const auto cursors = load_.cursor ? batch.GetColumnByName(*load_.cursor) : nullptr;
  Status status;
  for (auto& refused : encoder_->encode(batch, [&](std::int64_t place, DocumentEncoder::Row row) {
         if (!status) return;
         const std::size_t bytes = row.id.get()->len + row.fields.get()->len;
         const RejectedRow shown = rejected(batch, place, "");
         hold({.row = std::move(row),
               .locator = shown.locator,
               .text = shown.row,
               .cursor = cursors ? cursor_at(*cursors, place) : std::nullopt},
              bytes);
         if (held_.size() >= kHeldRows || held_bytes_ >= kHeldBytes) status = put_part(false);
       })) {
    out.push_back(rejected(batch, refused.row, std::move(refused.why)));
  }
  return status;
}

// Of two rows of one key in one commit the one with the greater cursor stays, else the later.
void MongoWriter::hold(Held held, std::size_t bytes) {
  if (load_.kind == LoadKind::Merge) {
    const std::string key = raw_key(held.row.id);
    if (const auto earlier = put_keys_.find(key); earlier != put_keys_.end()) {
      ++report_.superseded;
      if (loses(held.cursor, earlier->second)) return;
      held.repeated = true;
    }
    const auto [at, fresh] = by_key_.try_emplace(key, held_.size());
    if (!fresh) {
      // A repeated key counted already, once for each of its rows.
      if (!held.repeated) ++report_.superseded;
      if (loses(held.cursor, held_[at->second].cursor)) return;
      held_[at->second].dropped = true;
      at->second = held_.size();
    }
  }
  held_bytes_ += bytes;
  held_.push_back(std::move(held));
}

Status MongoWriter::reject(std::span<const RejectedRow> rows) {
  if (db_.in_transaction() && !stage_) {
    return ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rows);
  }
  rejected_.insert(rejected_.end(), rows.begin(), rows.end());
  return {};
}

// ---- into the collection

Result<CommitReport> MongoWriter::do_flush() {
  if (stage_) {
    TG_CHECK(flush_stage(report_));
  } else {
    TG_CHECK(put_part(true));
  }
  return report_;
}

Status MongoWriter::flush_stage(CommitReport& report) {
  TG_TRY(const std::int64_t rows, stage_->seal());
  if (rows != staged_) {
    return fail(Code::Unavailable,
                fmt::format("the stage \"{}\" holds {} documents and not {}; somebody else changed "
                            "it",
                            stage_->name(), rows, staged_));
  }
  report.inserted = staged_;
  TG_TRY(report.deleted, db_.count(claim_.table));
  return {};
}

// A former owner that froze between announcing its stage and the rename is stopped by no fence, but
// without its stage it renames nothing. So it is fenced off first, and what is written comes after.
Status MongoWriter::take_table() {
  if (table_taken_) return {};
  if (plan_.take_over) {
    TG_CHECK(db_.together([&]() -> Status {
      TG_CHECK(ledger_.lock_fence(claim_));
      return ledger_.own_table(claim_, true);
    }));
  }
  TG_TRY(const auto formers, ledger_.former_owners(claim_));
  if (!formers.empty()) {
    for (const Claim& former : formers) TG_CHECK(Stage::tidy(db_, former));
    TG_CHECK(db_.together([&]() -> Status {
      TG_CHECK(ledger_.lock_fence(claim_));
      return ledger_.forget_former_owners(claim_);
    }));
    TG_TRY(const auto now, db_.collection_info(claim_.table));
    if ((now ? bytes_at(*now->get(), "info.uuid") : "") != change_.after.uuid) {
      return fail(Code::Unavailable,
                  fmt::format("the collection \"{}\" was replaced by its former owner meanwhile; "
                              "it is worth another attempt",
                              claim_.table));
    }
  }
  table_taken_ = true;
  return {};
}

// Writes what is held. The transaction of the last part stays open for the state.
Status MongoWriter::put_part(bool last) {
  TG_CHECK(take_table());
  const bool alone = !last || !db_.transactions();
  if (alone && load_.kind == LoadKind::Append && unfinished_.empty()) {
    std::string prefix(kIdPrefix, '\0');
    context_.rng.fill(std::as_writable_bytes(std::span(prefix)));
    TG_CHECK(db_.together([&]() -> Status {
      TG_CHECK(ledger_.lock_fence(claim_));
      return ledger_.announce_append(claim_, prefix);
    }));
    unfinished_ = prefix;
  }
  in_parts_ = in_parts_ || alone;
  // In a transaction it could not be made everywhere.
  TG_TRY(const auto there, db_.collection_info(claim_.table));
  if (!there) {
    TG_CHECK(db_.run(Doc()
                         .put("create", std::string_view(claim_.table))
                         .put("writeConcern", Doc().put("w", "majority"))));
  }
  const CommitReport before = report_;
  for (int tried = 1;; ++tried) {
    const std::size_t refused = report_.refused.size();
    if (db_.transactions()) TG_CHECK(db_.begin());
    Status put = put_rows(last);
    if (put && !last && db_.transactions()) put = db_.commit();
    if (put) break;
    db_.abort();
    // A refused row ends a transaction: the others are put without it.
    const bool fewer = report_.refused.size() > refused;
    const bool enough = static_cast<std::int64_t>(report_.refused.size()) > load_.max_rejected;
    if (fewer && enough) break;
    if (!fewer && (!db_.transient() || tried >= kTries)) return put;
    report_.inserted = before.inserted;
    report_.updated = before.updated;
    if (fewer) tried = 0;
  }
  for (const Held& h : held_) {
    if (h.dropped || load_.kind != LoadKind::Merge || last) continue;
    put_keys_.insert_or_assign(raw_key(h.row.id), h.cursor);
  }
  if (!last || !db_.transactions()) {
    held_.clear();
    by_key_.clear();
    held_bytes_ = 0;
  }
  return {};
}

// In the transaction, where there is one: all that belongs to the rows that are held.
Status MongoWriter::put_rows(bool last) {
  TG_CHECK(ledger_.lock_fence(claim_));
  TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
  TG_CHECK(ledger_.own_table(claim_, plan_.take_over));
  TG_CHECK(ledger_.set_layout(claim_, change_.after));
  if (last && db_.transactions()) {
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rejected_));
  }
  std::vector<std::size_t> which;
  TG_TRY(const Written written, put_held(which));
  std::int64_t repeated = 0;
  for (const Held& h : held_) repeated += h.repeated && !h.dropped ? 1 : 0;
  report_.inserted += written.inserted;
  report_.updated += written.matched - repeated;
  for (const auto& refused : written.refused) {
    Held& h = held_[which[refused.index]];
    h.dropped = true;
    ++report_.rejected;
    report_.refused.push_back({h.locator, protocol::to_utf8(refused.message), h.text});
  }
  if (!written.refused.empty() && db_.transactions()) {
    return fail(Code::Invalid, "a document was refused");
  }
  return {};
}

Result<Written> MongoWriter::put_held(std::vector<std::size_t>& which) {
  std::vector<Update> updates;
  std::vector<Doc> documents;
  std::uint32_t number = appended_;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    const Held& h = held_[i];
    if (h.dropped) continue;
    which.push_back(i);
    if (load_.kind == LoadKind::Merge) {
      updates.push_back({with_id(h.row.id), Doc().put("$set", h.row.fields), true});
      continue;
    }
    Doc d;
    bson_oid_t id;
    if (unfinished_.empty()) {
      bson_oid_init(&id, nullptr);
    } else {
      id = oid_of(unfinished_, number++);
    }
    d.put("_id", id);
    bson_concat(d.get(), h.row.fields.get());
    documents.push_back(std::move(d));
  }
  if (load_.kind == LoadKind::Merge) return db_.update_all(claim_.table, updates, false);
  std::vector<const bson_t*> raw;
  for (const Doc& d : documents) raw.push_back(d.get());
  TG_TRY(Written written, db_.insert(claim_.table, raw, false));
  appended_ = number;
  return written;
}

// ---- commit

Status MongoWriter::do_commit(const std::optional<NewState>& state) {
  if (stage_) {
    TG_CHECK(commit_stage(state));
  } else {
    if (!db_.transactions()) {
      TG_CHECK(ledger_.lock_fence(claim_));
      TG_CHECK(
          ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, std::exchange(rejected_, {})));
    }
    if (state || !unfinished_.empty()) TG_CHECK(ledger_.store(claim_, state));
    if (db_.transactions()) TG_CHECK(db_.commit());
  }
  if (state) {
    state_.state = state->state;
    state_.epoch = state->epoch;
    ++state_.sequence;
  }
  held_.clear();
  held_bytes_ = 0;
  by_key_.clear();
  put_keys_.clear();
  rejected_.clear();
  report_ = {};
  staged_ = 0;
  appended_ = 0;
  unfinished_.clear();
  in_parts_ = false;
  return {};
}

Status MongoWriter::commit_stage(const std::optional<NewState>& state) {
  TG_CHECK(take_table());
  TG_TRY(const std::string uuid, stage_->uuid());
  const Intent intent{
      .stage = stage_->name(), .uuid = uuid, .state = state, .layout = change_.after};
  TG_CHECK(db_.together([&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    TG_CHECK(ledger_.check_owner(claim_, plan_.take_over));
    TG_CHECK(ledger_.own_table(claim_, plan_.take_over));
    TG_CHECK(ledger_.settle_rejected(claim_, intent.stage, false));
    TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, rejected_, intent.stage));
    return ledger_.announce(claim_, intent);
  }));
  if (const Status renamed = stage_->take_place(); !renamed) {
    // The stage of an attempt that is fenced meanwhile was dropped by the newer one.
    Error e = renamed.error();
    e.code = Code::Unavailable;
    return fail(std::move(e));
  }
  TG_CHECK(complete(db_, ledger_, claim_, intent));
  return {};
}

Status MongoWriter::undo() {
  db_.abort();
  if (stage_) TG_CHECK(stage_->drop());
  if (in_parts_) TG_CHECK(take_unfinished_away());
  return {};
}

Status MongoWriter::finish() {
  TG_CHECK(undo());
  return ledger_.release(claim_);
}

Status MongoWriter::abort(std::span<const RejectedRow> keep) {
  TG_CHECK(undo());
  return db_.together([&]() -> Status {
    TG_CHECK(ledger_.lock_fence(claim_));
    if (!keep.empty()) {
      if (load_.kind == LoadKind::Replace) TG_CHECK(ledger_.forget_rejected(claim_));
      TG_CHECK(ledger_.reject(claim_, plan_.run_id.str(), plan_.attempt, keep));
    }
    return ledger_.release(claim_);
  });
}

}  // namespace tidegate::engine::mongodb
