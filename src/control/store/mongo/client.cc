#include "control/store/mongo/client.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>
#include <utility>

namespace tidegate::store::mongo {
namespace {

constexpr std::chrono::seconds kCommitPatience{8};
constexpr std::chrono::milliseconds kCommitPause{50};
constexpr std::uint32_t kBatch = 200;  // documents of one answer

// Frees what a call may have filled.
struct Reply {
  bson_t raw = BSON_INITIALIZER;
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() { bson_destroy(&raw); }
  // libmongoc initializes it over again.
  bson_t* out() {
    bson_destroy(&raw);
    return &raw;
  }
  std::int64_t number(const char* key) const {
    bson_iter_t at;
    return bson_iter_init_find(&at, &raw, key) ? bson_iter_as_int64(&at) : 0;
  }
};

}  // namespace

struct Conn::Collection {
  Collection(Conn& conn, std::string_view name)
      : raw(mongoc_client_get_collection(conn.client_, conn.pool_.database().c_str(),
                                         std::string(name).c_str())) {
    if (!conn.snapshot_) return;
    // The session says how it reads; the pool's concern would contradict it.
    const std::unique_ptr<mongoc_read_concern_t, decltype(&mongoc_read_concern_destroy)> none(
        mongoc_read_concern_new(), mongoc_read_concern_destroy);
    mongoc_collection_set_read_concern(raw, none.get());
  }
  ~Collection() { mongoc_collection_destroy(raw); }
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;
  mongoc_collection_t* raw;
};

Conn::~Conn() {
  if (session_ != nullptr) {
    abort();
    mongoc_client_session_destroy(session_);
  }
  if (client_ != nullptr) pool_.push(client_);
}

Status Conn::ready() const {
  if (client_ != nullptr) return {};
  return fail(Code::Unavailable,
              fmt::format("{}: all connections are busy; raise maxPoolSize in the store's URI",
                          pool_.name()),
              "store_busy");
}

// Every call begins here, so here it is checked that there is a client at all.
Bson Conn::options(const bj::object& o, Status& status) {
  transient_ = false;
  status = ready();
  Bson raw = to_bson(o);
  bson_error_t error;
  if (status && session_ != nullptr && !mongoc_client_session_append(session_, raw.get(), &error)) {
    status = failed(error, nullptr);
  }
  return raw;
}

std::unexpected<Error> Conn::failed(const bson_error_t& error, const bson_t* reply) {
  // A server that is away is the caller's to wait for.
  transient_ = reply != nullptr && error.domain != MONGOC_ERROR_STREAM &&
               error.domain != MONGOC_ERROR_SERVER_SELECTION &&
               mongoc_error_has_label(reply, "TransientTransactionError");
  return fail(pool_.error(error, reply));
}

Status Conn::each(std::string_view collection, const Find& find,
                  const std::function<Result<bool>(bj::object)>& row) {
  bj::object o{{"batchSize", kBatch}};
  if (!find.sort.empty()) o["sort"] = find.sort;
  if (!find.projection.empty()) o["projection"] = find.projection;
  if (find.limit > 0) o["limit"] = find.limit;
  if (find.skip > 0) o["skip"] = find.skip;
  Status status;
  const Bson opts = options(o, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  const Bson filter = to_bson(find.filter);
  const std::unique_ptr<mongoc_cursor_t, decltype(&mongoc_cursor_destroy)> cursor(
      mongoc_collection_find_with_opts(in.raw, filter.get(), opts.get(), nullptr),
      mongoc_cursor_destroy);
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) {
    TG_TRY(const bool more, row(from_bson(*document)));
    if (!more) return {};
  }
  bson_error_t error;
  const bson_t* reply = nullptr;
  if (mongoc_cursor_error_document(cursor.get(), &error, &reply)) return failed(error, reply);
  return {};
}

Result<std::vector<bj::object>> Conn::find(std::string_view collection, const Find& find) {
  std::vector<bj::object> found;
  TG_CHECK(each(collection, find, [&](bj::object o) {
    found.push_back(std::move(o));
    return true;
  }));
  return found;
}

Result<std::optional<bj::object>> Conn::find_one(std::string_view collection, Find find) {
  find.limit = 1;
  TG_TRY(auto found, this->find(collection, find));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

Result<bool> Conn::exists(std::string_view collection, const bj::object& filter) {
  TG_TRY(const auto found, find_one(collection, {.filter = filter, .projection = {{"_id", 1}}}));
  return found.has_value();
}

Result<std::int64_t> Conn::count(std::string_view collection, const bj::object& filter) {
  Status status;
  const Bson opts = options({}, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  bson_error_t error;
  Reply reply;
  const Bson raw = to_bson(filter);
  const auto n = mongoc_collection_count_documents(in.raw, raw.get(), opts.get(), nullptr,
                                                   reply.out(), &error);
  if (n < 0) return failed(error, &reply.raw);
  return n;
}

Status Conn::insert(std::string_view collection, const bj::object& document) {
  return insert(collection, std::vector{document});
}

Status Conn::insert(std::string_view collection, const std::vector<bj::object>& documents) {
  if (documents.empty()) return {};
  Status status;
  const Bson opts = options({{"validate", false}}, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  std::vector<Bson> owned;
  std::vector<const bson_t*> raw;
  for (const auto& d : documents) raw.push_back(owned.emplace_back(to_bson(d)).get());
  bson_error_t error;
  Reply reply;
  if (mongoc_collection_insert_many(in.raw, raw.data(), raw.size(), opts.get(), reply.out(),
                                    &error)) {
    return {};
  }
  return failed(error, &reply.raw);
}

Result<std::int64_t> Conn::update(std::string_view collection, const bj::object& filter,
                                  const bj::object& change, bool upsert) {
  Status status;
  const Bson opts = options({{"validate", false}, {"upsert", upsert}}, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  const Bson which = to_bson(filter), how = to_bson(change);
  bson_error_t error;
  Reply reply;
  if (mongoc_collection_update_one(in.raw, which.get(), how.get(), opts.get(), reply.out(),
                                   &error)) {
    return reply.number("matchedCount") + reply.number("upsertedCount");
  }
  return failed(error, &reply.raw);
}

Result<std::int64_t> Conn::replace(std::string_view collection, const bj::object& filter,
                                   const bj::object& document, bool upsert) {
  Status status;
  const Bson opts = options({{"validate", false}, {"upsert", upsert}}, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  const Bson which = to_bson(filter), what = to_bson(document);
  bson_error_t error;
  Reply reply;
  if (mongoc_collection_replace_one(in.raw, which.get(), what.get(), opts.get(), reply.out(),
                                    &error)) {
    return reply.number("matchedCount") + reply.number("upsertedCount");
  }
  return failed(error, &reply.raw);
}

Result<std::int64_t> Conn::erase(std::string_view collection, const bj::object& filter) {
  Status status;
  const Bson opts = options({}, status);
  TG_CHECK(status);
  const Collection in(*this, collection);
  const Bson which = to_bson(filter);
  bson_error_t error;
  Reply reply;
  if (mongoc_collection_delete_many(in.raw, which.get(), opts.get(), reply.out(), &error)) {
    return reply.number("deletedCount");
  }
  return failed(error, &reply.raw);
}

Result<bj::object> Conn::run(const bj::object& command, std::string_view database) {
  transient_ = false;
  TG_CHECK(ready());
  const std::string on(database.empty() ? pool_.database() : database);
  const Bson raw = to_bson(command);
  bson_error_t error;
  Reply reply;
  if (!mongoc_client_command_simple(client_, on.c_str(), raw.get(), nullptr, reply.out(), &error)) {
    return failed(error, &reply.raw);
  }
  return from_bson(reply.raw);
}

Result<bj::object> Conn::run_write(const bj::object& command) {
  Status status;
  const Bson opts = options({}, status);
  TG_CHECK(status);
  const Bson raw = to_bson(command);
  bson_error_t error;
  Reply reply;
  if (!mongoc_client_write_command_with_opts(client_, pool_.database().c_str(), raw.get(),
                                             opts.get(), reply.out(), &error)) {
    return failed(error, &reply.raw);
  }
  auto answer = from_bson(reply.raw);
  // The driver takes these for a success.
  const auto* errors = answer.if_contains("writeErrors");
  if (errors == nullptr || !errors->is_array() || errors->get_array().empty()) return answer;
  const auto* first = errors->get_array().front().if_object();
  const auto* text = first == nullptr ? nullptr : first->if_contains("errmsg");
  return fail(
      Code::Unavailable,
      fmt::format("{}: one of several writes failed: {}; it is tried again", pool_.name(),
                  text != nullptr && text->is_string() ? std::string_view(text->get_string())
                                                       : std::string_view("no reason given")),
      "store_unavailable");
}

Status Conn::begin() {
  TG_CHECK(ready());
  bson_error_t error;
  if (session_ == nullptr) session_ = mongoc_client_start_session(client_, nullptr, &error);
  if (session_ == nullptr) return failed(error, nullptr);
  const std::unique_ptr<mongoc_transaction_opt_t, decltype(&mongoc_transaction_opts_destroy)> opts(
      mongoc_transaction_opts_new(), mongoc_transaction_opts_destroy);
  const std::unique_ptr<mongoc_read_concern_t, decltype(&mongoc_read_concern_destroy)> snapshot(
      mongoc_read_concern_new(), mongoc_read_concern_destroy);
  mongoc_read_concern_set_level(snapshot.get(), MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
  mongoc_transaction_opts_set_read_concern(opts.get(), snapshot.get());
  if (mongoc_client_session_start_transaction(session_, opts.get(), &error)) return {};
  return failed(error, nullptr);
}

// A server that keeps snapshots has none of 1970; one that shows it only pretends.
bool Conn::keeps_snapshots(std::string_view collection) {
  Bson command = to_bson({{"find", collection}, {"limit", 1}});
  bson_t concern;
  bson_append_document_begin(command.get(), "readConcern", -1, &concern);
  BSON_APPEND_UTF8(&concern, "level", "snapshot");
  BSON_APPEND_TIMESTAMP(&concern, "atClusterTime", 1, 1);
  bson_append_document_end(command.get(), &concern);
  bson_error_t error;
  Reply reply;
  return !mongoc_client_command_simple(client_, pool_.database().c_str(), command.get(), nullptr,
                                       reply.out(), &error);
}

Result<bool> Conn::begin_snapshot(std::string_view collection) {
  TG_CHECK(ready());
  if (!keeps_snapshots(collection)) return false;
  bson_error_t error;
  const std::unique_ptr<mongoc_session_opt_t, decltype(&mongoc_session_opts_destroy)> opts(
      mongoc_session_opts_new(), mongoc_session_opts_destroy);
  mongoc_session_opts_set_snapshot(opts.get(), true);
  session_ = mongoc_client_start_session(client_, opts.get(), &error);
  if (session_ == nullptr) return failed(error, nullptr);
  snapshot_ = true;
  // The first read fixes the moment, or is refused.
  const auto first = find_one(collection, {.filter = {}});
  if (first) return true;
  if (first.error().code == Code::Unavailable) return fail(first.error());
  mongoc_client_session_destroy(std::exchange(session_, nullptr));
  snapshot_ = false;
  return false;
}

std::string Conn::session() const {
  std::string id;
  bson_iter_t at;
  const std::uint8_t* bytes = nullptr;
  std::uint32_t size = 0;
  bson_subtype_t kind{};
  if (bson_iter_init_find(&at, mongoc_client_session_get_lsid(session_), "id") &&
      BSON_ITER_HOLDS_BINARY(&at)) {
    bson_iter_binary(&at, &kind, &size, &bytes);
  }
  for (std::uint32_t i = 0; i < size; ++i) id += fmt::format("{:02x}", bytes[i]);
  return id;
}

Status Conn::commit() {
  bson_error_t error;
  for (const auto end = std::chrono::steady_clock::now() + kCommitPatience;;) {
    Reply reply;
    if (mongoc_client_session_commit_transaction(session_, reply.out(), &error)) return {};
    if (!mongoc_error_has_label(&reply.raw, "UnknownTransactionCommitResult") ||
        std::chrono::steady_clock::now() >= end) {
      return failed(error, &reply.raw);
    }
    std::this_thread::sleep_for(kCommitPause);
  }
}

void Conn::abort() {
  if (session_ == nullptr || !mongoc_client_session_in_transaction(session_)) return;
  bson_error_t ignored;  // the server ends it by itself, too
  mongoc_client_session_abort_transaction(session_, &ignored);
}

}  // namespace tidegate::store::mongo
