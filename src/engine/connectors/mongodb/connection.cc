#include "engine/connectors/mongodb/connection.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>
#include <utility>

namespace tidegate::engine::mongodb {
namespace {

constexpr std::chrono::seconds kCommitPatience{8};
constexpr std::chrono::milliseconds kPause{50};
constexpr int kTries = 8;
constexpr int kOldestWireVersion = 13;  // MongoDB 5.0

// Frees what a call may have filled.
struct Reply {
  bson_t raw = BSON_INITIALIZER;
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() { bson_destroy(&raw); }
  bson_t* out() {  // libmongoc initializes it over again
    bson_destroy(&raw);
    return &raw;
  }
};

struct Meaning {
  Code code;
  std::string_view reason, remedy;
};

Meaning meaning_of_server(int code) {
  switch (code) {
    case 11000:
      return {Code::Conflict, "duplicate_key", ""};
    case 13:
      return {Code::Forbidden, "",
              "; give the user the role readWrite (destination) or read (source) on this database"};
    case 18:
      return {Code::Forbidden, "", "; check user, password and authSource in the URL"};
    case 239:
      return {Code::Unavailable, kSnapshotGone,
              "; the read took longer than the server keeps a snapshot: raise its "
              "minSnapshotHistoryWindowInSeconds (300)"};
    case 14031:  // OutOfDiskSpace
      return {Code::Unavailable, "", "; free some space on the server"};
    case 290:  // TransactionExceededLifetimeLimitSeconds
    case 225:  // TransactionTooOld
    case 251:  // NoSuchTransaction
      return {Code::Unavailable, "",
              "; the transaction was ended, by a newer attempt or because it took longer than the "
              "server's transactionLifetimeLimitSeconds (60)"};
    case 6:      // HostUnreachable
    case 7:      // HostNotFound
    case 24:     // LockTimeout
    case 50:     // MaxTimeMSExpired
    case 64:     // WriteConcernFailed
    case 89:     // NetworkTimeout
    case 91:     // ShutdownInProgress
    case 112:    // WriteConflict
    case 133:    // FailedToSatisfyReadPreference
    case 134:    // ReadConcernMajorityNotAvailableYet
    case 189:    // PrimarySteppedDown
    case 237:    // CursorKilled
    case 43:     // CursorNotFound
    case 175:    // QueryPlanKilled: its collection was replaced
    case 246:    // SnapshotUnavailable
    case 262:    // ExceededTimeLimit
    case 9001:   // SocketException
    case 10107:  // NotWritablePrimary
    case 11600:  // InterruptedAtShutdown
    case 11601:  // Interrupted
    case 11602:  // InterruptedDueToReplStateChange
    case 13435:  // NotPrimaryNoSecondaryOk
    case 13436:  // NotPrimaryOrSecondary
      return {Code::Unavailable, "", "; it is worth another attempt"};
    default:
      return {Code::Invalid, "", ""};
  }
}

Meaning meaning_of(const bson_error_t& e, const bson_t* reply) {
  const bool of_server = e.domain == MONGOC_ERROR_SERVER ||
                         e.domain == MONGOC_ERROR_WRITE_CONCERN || e.domain == MONGOC_ERROR_QUERY;
  if (of_server) {
    const Meaning known = meaning_of_server(static_cast<int>(e.code));
    if (known.code != Code::Invalid) return known;
  }
  if (reply != nullptr && (mongoc_error_has_label(reply, "RetryableWriteError") ||
                           mongoc_error_has_label(reply, "TransientTransactionError"))) {
    return {Code::Unavailable, "", "; it is worth another attempt"};
  }
  if (of_server) return {Code::Invalid, "", ""};
  if (e.domain == MONGOC_ERROR_CLIENT && e.code == MONGOC_ERROR_CLIENT_AUTHENTICATE) {
    return {Code::Forbidden, "", "; check user, password and authSource in the URL"};
  }
  if (e.domain == MONGOC_ERROR_SERVER_SELECTION &&
      e.code == MONGOC_ERROR_SERVER_SELECTION_BAD_WIRE_VERSION) {
    return {Code::Invalid, "", "; MongoDB 5.0 or newer is needed"};
  }
  if (e.domain == MONGOC_ERROR_SERVER_SELECTION || e.domain == MONGOC_ERROR_STREAM ||
      e.domain == MONGOC_ERROR_PROTOCOL || e.domain == MONGOC_ERROR_CLIENT) {
    return {Code::Unavailable, "",
            "; check that the server runs and can be reached, and the host, port, replicaSet and "
            "TLS options of the URL"};
  }
  return {Code::Internal, "", ""};
}

}  // namespace

struct Connection::Collection {
  Collection(const Connection& c, const std::string& name)
      : raw(mongoc_client_get_collection(c.client_, c.database_.c_str(), name.c_str())) {
    if (c.snapshot_ == nullptr) return;
    // The session says how it reads; the client's concern would contradict it.
    mongoc_read_concern_t* none = mongoc_read_concern_new();
    mongoc_collection_set_read_concern(raw, none);
    mongoc_read_concern_destroy(none);
  }
  ~Collection() { mongoc_collection_destroy(raw); }
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;
  mongoc_collection_t* raw;
};

Result<std::unique_ptr<Connection>> Connection::open(const Config& config, std::stop_token stop) {
  std::unique_ptr<Connection> c(new Connection());
  c->database_ = config.database;
  c->place_ = config.place;
  c->stop_ = std::move(stop);
  TG_CHECK(c->stopped());
  const ParsedUri parsed = parse_uri(std::string(config.url.reveal()));
  if (parsed.uri == nullptr) return fail(Code::Invalid, "the URL is no MongoDB URL; correct it");
  prepare(parsed.uri.get());
  const std::pair<const char*, const std::string&> files[] = {
      {MONGOC_URI_TLSCAFILE, config.ca_file}, {MONGOC_URI_TLSCERTIFICATEKEYFILE, config.key_file}};
  for (const auto& [option, file] : files) {
    if (file.empty()) continue;
    mongoc_uri_set_option_as_utf8(parsed.uri.get(), option, file.c_str());
  }
  c->client_ = mongoc_client_new_from_uri(parsed.uri.get());
  if (c->client_ == nullptr) {
    return fail(Code::Invalid,
                fmt::format("MongoDB {}: the URL's options cannot be used together, or need a "
                            "driver with TLS or DNS; correct them",
                            config.place));
  }
  mongoc_client_set_error_api(c->client_, MONGOC_ERROR_API_VERSION_2);
  TG_TRY(const Doc hello, c->run(Doc().put("hello", 1), "admin"));
  if (number_at(*hello.get(), "maxWireVersion") < kOldestWireVersion) {
    return fail(Code::Invalid, fmt::format("MongoDB {} is older than 5.0, which is needed; update "
                                           "the server",
                                           config.place));
  }
  c->process_ = oid_at(*hello.get(), "topologyVersion.processId");
  c->transactions_ =
      !text_at(*hello.get(), "setName").empty() || text_at(*hello.get(), "msg") == "isdbgrid";
  if (!c->transactions_) return c;
  bson_error_t error;
  c->session_ = mongoc_client_start_session(c->client_, nullptr, &error);
  if (c->session_ == nullptr) return c->failed(error, nullptr);
  return c;
}

Connection::~Connection() {
  if (session_ != nullptr) {
    abort();
    mongoc_client_session_destroy(session_);
  }
  end_snapshot();
  if (client_ != nullptr) mongoc_client_destroy(client_);
}

Status Connection::stopped() const {
  if (!stop_.stop_requested()) return {};
  return fail(Code::Cancelled, "the run was stopped");
}

std::unexpected<Error> Connection::failed(const bson_error_t& error, const bson_t* reply) {
  transient_ = reply != nullptr && error.domain != MONGOC_ERROR_STREAM &&
               error.domain != MONGOC_ERROR_SERVER_SELECTION &&
               mongoc_error_has_label(reply, "TransientTransactionError");
  const Meaning meaning = meaning_of(error, reply);
  return fail(meaning.code, fmt::format("MongoDB {}: {}{}", place_, error.message, meaning.remedy),
              std::string(meaning.reason));
}

Result<Doc> Connection::options(const Doc& from) const {
  TG_CHECK(stopped());
  Doc out = from;
  const auto session = in_transaction() ? session_ : snapshot_;
  bson_error_t error;
  if (session != nullptr && !mongoc_client_session_append(session, out.get(), &error)) {
    return fail(Code::Internal, error.message);
  }
  return out;
}

Result<Doc> Connection::run(const Doc& command, const char* database) {
  TG_CHECK(stopped());
  bson_error_t error;
  Reply reply;
  if (mongoc_client_command_simple(client_, database != nullptr ? database : database_.c_str(),
                                   command.get(), nullptr, reply.out(), &error)) {
    return Doc(reply.raw);
  }
  return failed(error, &reply.raw);
}

Result<std::vector<Doc>> Connection::list_collections(const Doc& filter) {
  TG_CHECK(stopped());
  mongoc_database_t* database = mongoc_client_get_database(client_, database_.c_str());
  const Doc options = Doc().put("filter", filter);
  mongoc_cursor_t* cursor = mongoc_database_find_collections_with_opts(database, options.get());
  std::vector<Doc> out;
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor, &document)) out.emplace_back(*document);
  bson_error_t error;
  const bson_t* reply = nullptr;
  const bool bad = mongoc_cursor_error_document(cursor, &error, &reply);
  Result<std::vector<Doc>> result = std::move(out);
  if (bad) result = failed(error, reply);
  mongoc_cursor_destroy(cursor);
  mongoc_database_destroy(database);
  return result;
}

Result<std::optional<Doc>> Connection::collection_info(const std::string& name) {
  TG_TRY(auto found, list_collections(Doc().put("name", std::string_view(name))));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

Result<bool> Connection::drop(const std::string& collection) {
  TG_TRY(const auto found, collection_info(collection));
  if (!found) return false;
  const auto dropped = run(Doc().put("drop", std::string_view(collection)));
  if (dropped) return true;
  TG_TRY(const auto left, collection_info(collection));
  if (left) return fail(dropped.error());
  return false;
}

Cursor::~Cursor() {
  mongoc_cursor_destroy(cursor_);
  mongoc_collection_destroy(collection_);
}

Result<const bson_t*> Cursor::next() {
  TG_CHECK(db_.stopped());
  const bson_t* document = nullptr;
  if (mongoc_cursor_next(cursor_, &document)) return document;
  bson_error_t error;
  const bson_t* reply = nullptr;
  if (mongoc_cursor_error_document(cursor_, &error, &reply)) return db_.failed(error, reply);
  return nullptr;
}

Result<std::unique_ptr<Cursor>> Connection::find(const std::string& collection, const Doc& filter,
                                                 const Doc& find) {
  TG_TRY(const Doc opts, options(find));
  Collection in(*this, collection);
  mongoc_cursor_t* found =
      mongoc_collection_find_with_opts(in.raw, filter.get(), opts.get(), nullptr);
  return std::make_unique<Cursor>(*this, std::exchange(in.raw, nullptr), found);
}

Status Connection::each(const std::string& collection, const Doc& filter, const Doc& find,
                        const std::function<Result<bool>(const bson_t&)>& row) {
  TG_TRY(const auto cursor, this->find(collection, filter, find));
  for (;;) {
    TG_TRY(const bson_t* document, cursor->next());
    if (document == nullptr) return {};
    TG_TRY(const bool more, row(*document));
    if (!more) return {};
  }
}

Result<std::optional<Doc>> Connection::find_one(const std::string& collection, const Doc& filter) {
  std::optional<Doc> found;
  TG_CHECK(each(collection, filter, Doc().put("limit", std::int64_t{1}),
                [&](const bson_t& document) -> Result<bool> {
                  found = Doc(document);
                  return false;
                }));
  return found;
}

Result<bool> Connection::any(const std::string& collection) {
  TG_TRY(const auto found, find_one(collection, {}));
  return found.has_value();
}

Result<std::int64_t> Connection::count(const std::string& collection) {
  TG_CHECK(stopped());
  const Collection in(*this, collection);
  bson_error_t error;
  Reply reply;
  const auto n =
      mongoc_collection_estimated_document_count(in.raw, nullptr, nullptr, reply.out(), &error);
  if (n < 0) return failed(error, &reply.raw);
  return n;
}

Result<std::int64_t> Connection::update(const std::string& collection, const Doc& filter,
                                        const Doc& change, bool upsert, bool many) {
  TG_TRY(const Doc opts, options(Doc().put("validate", false).put("upsert", upsert)));
  const Collection in(*this, collection);
  bson_error_t error;
  Reply reply;
  const auto call = many ? &mongoc_collection_update_many : &mongoc_collection_update_one;
  if (!call(in.raw, filter.get(), change.get(), opts.get(), reply.out(), &error)) {
    return failed(error, &reply.raw);
  }
  return number_at(reply.raw, "matchedCount") + number_at(reply.raw, "upsertedCount");
}

Result<std::int64_t> Connection::erase(const std::string& collection, const Doc& filter) {
  TG_TRY(const Doc opts, options({}));
  const Collection in(*this, collection);
  bson_error_t error;
  Reply reply;
  if (!mongoc_collection_delete_many(in.raw, filter.get(), opts.get(), reply.out(), &error)) {
    return failed(error, &reply.raw);
  }
  return number_at(reply.raw, "deletedCount");
}

// Errors of single documents are theirs; every other one is the call's.
Result<Written> Connection::written(bool done, const bson_error_t& error, const bson_t& reply) {
  Written out;
  out.inserted = number_at(reply, "insertedCount") + number_at(reply, "upsertedCount");
  out.matched = number_at(reply, "matchedCount");
  if (done) return out;
  const auto list = find_value(reply, "writeErrors");
  bson_iter_t at;
  if (error.domain != MONGOC_ERROR_SERVER || !list || !bson_iter_recurse(&list->raw, &at) ||
      mongoc_error_has_label(&reply, "TransientTransactionError")) {
    return failed(error, &reply);
  }
  while (bson_iter_next(&at)) {
    std::uint32_t size = 0;
    const std::uint8_t* bytes = nullptr;
    bson_iter_document(&at, &size, &bytes);
    bson_t one;
    if (!bson_init_static(&one, bytes, size)) continue;
    Written::Refused refused{.index = static_cast<std::size_t>(number_at(one, "index")),
                             .code = static_cast<int>(number_at(one, "code")),
                             .message = text_at(one, "errmsg")};
    // Whole transactions, primaries and the like are no document's fault.
    if (meaning_of_server(refused.code).code == Code::Unavailable) return failed(error, &reply);
    refused.of_id =
        refused.code == kDuplicateKey && (find_value(one, "keyPattern._id").has_value() ||
                                          refused.message.find("index: _id_") != std::string::npos);
    out.refused.push_back(std::move(refused));
  }
  if (out.refused.empty()) return failed(error, &reply);
  return out;
}

Result<Written> Connection::insert(const std::string& collection,
                                   const std::vector<const bson_t*>& documents, bool ordered) {
  if (documents.empty()) return Written{};
  TG_TRY(const Doc opts, options(Doc().put("validate", false).put("ordered", ordered)));
  const Collection in(*this, collection);
  bson_error_t error;
  Reply reply;
  const bool done =
      mongoc_collection_insert_many(in.raw, const_cast<const bson_t**>(documents.data()),
                                    documents.size(), opts.get(), reply.out(), &error);
  return written(done, error, reply.raw);
}

Result<Written> Connection::update_all(const std::string& collection,
                                       const std::vector<Update>& updates, bool ordered) {
  if (updates.empty()) return Written{};
  TG_TRY(const Doc opts, options(Doc().put("ordered", ordered)));
  const Collection in(*this, collection);
  const std::unique_ptr<mongoc_bulk_operation_t, decltype(&mongoc_bulk_operation_destroy)> bulk(
      mongoc_collection_create_bulk_operation_with_opts(in.raw, opts.get()),
      mongoc_bulk_operation_destroy);
  bson_error_t error;
  for (const Update& u : updates) {
    const Doc how = Doc().put("upsert", u.upsert).put("validate", false);
    bson_iter_t first;
    const bool operators = bson_iter_init(&first, u.change.get()) && bson_iter_next(&first) &&
                           bson_iter_key(&first)[0] == '$';
    const auto add = operators ? &mongoc_bulk_operation_update_one_with_opts
                               : &mongoc_bulk_operation_replace_one_with_opts;
    if (!add(bulk.get(), u.filter.get(), u.change.get(), how.get(), &error)) {
      return failed(error, nullptr);
    }
  }
  Reply reply;
  const bool done = mongoc_bulk_operation_execute(bulk.get(), reply.out(), &error) != 0;
  const bson_t& raw = reply.raw;
  TG_TRY(Written out, written(done, error, raw));
  // A bulk has names of its own.
  out.inserted = number_at(raw, "nInserted") + number_at(raw, "nUpserted");
  out.matched = number_at(raw, "nMatched");
  return out;
}

// ---- transactions and snapshots

Status Connection::begin() {
  TG_CHECK(stopped());
  const std::unique_ptr<mongoc_transaction_opt_t, decltype(&mongoc_transaction_opts_destroy)> opts(
      mongoc_transaction_opts_new(), mongoc_transaction_opts_destroy);
  const std::unique_ptr<mongoc_read_concern_t, decltype(&mongoc_read_concern_destroy)> snapshot(
      mongoc_read_concern_new(), mongoc_read_concern_destroy);
  mongoc_read_concern_set_level(snapshot.get(), MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
  mongoc_transaction_opts_set_read_concern(opts.get(), snapshot.get());
  bson_error_t error;
  transient_ = false;
  if (mongoc_client_session_start_transaction(session_, opts.get(), &error)) return {};
  return failed(error, nullptr);
}

bool Connection::in_transaction() const {
  return session_ != nullptr && mongoc_client_session_in_transaction(session_);
}

Status Connection::commit() {
  bson_error_t error;
  for (const auto end = std::chrono::steady_clock::now() + kCommitPatience;;) {
    Reply reply;
    if (mongoc_client_session_commit_transaction(session_, reply.out(), &error)) return {};
    if (!mongoc_error_has_label(&reply.raw, "UnknownTransactionCommitResult") ||
        std::chrono::steady_clock::now() >= end) {
      return failed(error, &reply.raw);
    }
    std::this_thread::sleep_for(kPause);
  }
}

void Connection::abort() {
  if (!in_transaction()) return;
  bson_error_t ignored;  // the server ends it by itself, too
  mongoc_client_session_abort_transaction(session_, &ignored);
}

Status Connection::together(const std::function<Status()>& steps) {
  if (!transactions_) return steps();
  for (int tried = 1;; ++tried) {
    TG_CHECK(begin());
    Status done = steps();
    if (done) done = commit();
    if (done) return {};
    abort();
    if (!transient_ || tried >= kTries) return done;
    std::this_thread::sleep_for(kPause * tried);
  }
}

std::string Connection::session() const {
  return session_ == nullptr ? ""
                             : to_hex(bytes_at(*mongoc_client_session_get_lsid(session_), "id"));
}

Status Connection::kill_session(const std::string& session) {
  const Doc one = Doc().put_uuid("id", from_hex(session));
  TG_CHECK(run(Doc().put_list("killSessions", {&one, 1}), "admin"));
  return {};
}

Result<bool> Connection::begin_snapshot(const std::string& collection) {
  end_snapshot();
  if (!transactions_) return false;
  // A server that keeps snapshots has none of 1970; one that shows it only pretends.
  Doc concern = Doc().put("level", "snapshot");
  bson_append_timestamp(concern.get(), "atClusterTime", -1, 1, 1);
  const Doc probe =
      Doc().put("find", std::string_view(collection)).put("limit", 1).put("readConcern", concern);
  if (run(probe)) return false;
  const std::unique_ptr<mongoc_session_opt_t, decltype(&mongoc_session_opts_destroy)> opts(
      mongoc_session_opts_new(), mongoc_session_opts_destroy);
  mongoc_session_opts_set_snapshot(opts.get(), true);
  bson_error_t error;
  snapshot_ = mongoc_client_start_session(client_, opts.get(), &error);
  if (snapshot_ == nullptr) return false;
  // The first read fixes the moment, or is refused (views, time series, older servers).
  const auto first = any(collection);
  if (first) return true;
  end_snapshot();
  if (first.error().code == Code::Unavailable || first.error().code == Code::Cancelled) {
    return fail(first.error());
  }
  return false;
}

void Connection::end_snapshot() {
  if (snapshot_ != nullptr) mongoc_client_session_destroy(std::exchange(snapshot_, nullptr));
}

}  // namespace tidegate::engine::mongodb
