#pragma once
// Thin RAII over libmongoc: a pool of clients, one connection's commands, and errors in our words.

#include <mongoc/mongoc.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/store/mongo/bson.h"
#include "control/store/mongo/mongo_store.h"

namespace tidegate::store::mongo {

// Server codes that steer what happens next (src/mongo/base/error_codes.yml of MongoDB).
namespace server_code {
inline constexpr int kUnauthorized = 13, kAuthenticationFailed = 18, kNamespaceExists = 48,
                     kSnapshotTooOld = 239, kInvalidResumeToken = 260, kChangeStreamFatal = 280,
                     kHistoryLost = 286, kDuplicateKey = 11000;
}
inline constexpr std::string_view kDuplicate = "duplicate_key",
                                  kExists = "exists";  // Error::reason

// Thread-safe. Connects lazily.
class Pool {
 public:
  // Invalid: not a URI, one with an option that the driver does not know or a file that cannot be
  // read, or a database name that MongoDB does not take.
  static Result<std::unique_ptr<Pool>> open(const MongoOptions& options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  mongoc_client_t* pop();  // nullptr: none got free in time
  void push(mongoc_client_t* client);
  const std::string& database() const { return database_; }
  // The same words begin every message: "MongoDB database 'tidegate' on a:27017,b:27017".
  const std::string& name() const { return name_; }
  Error error(const bson_error_t& error, const bson_t* reply = nullptr) const;
  // The store was opened with these credentials: a refusal from now on means that it is away, as
  // the user may be put right while this process runs, and that is not the fault of who asks.
  void opened() { opened_ = true; }

 private:
  Pool() = default;
  mongoc_client_pool_t* pool_ = nullptr;
  std::atomic<bool> opened_ = false;
  std::string database_, name_, replica_set_;
};

struct Find {
  bj::object filter;
  bj::object sort = {};
  std::size_t limit = 0;  // 0: all
  std::size_t skip = 0;
  bj::object projection = {};  // empty: whole documents
};

// A client of the pool for one step, with a transaction where one was begun. Not thread-safe.
// Duplicate keys are Conflict with the reason kDuplicate.
class Conn {
 public:
  explicit Conn(Pool& pool) : pool_(pool), client_(pool.pop()) {}
  ~Conn();
  Conn(const Conn&) = delete;
  Conn& operator=(const Conn&) = delete;

  // Calls `row` for each document until it returns false.
  Status each(std::string_view collection, const Find& find,
              const std::function<Result<bool>(bj::object)>& row);
  Result<std::vector<bj::object>> find(std::string_view collection, const Find& find);
  Result<std::optional<bj::object>> find_one(std::string_view collection, Find find);
  Result<bool> exists(std::string_view collection, const bj::object& filter);
  Result<std::int64_t> count(std::string_view collection, const bj::object& filter);
  Status insert(std::string_view collection, const bj::object& document);
  Status insert(std::string_view collection, const std::vector<bj::object>& documents);
  // The number of documents that matched; with `upsert` an inserted one counts.
  Result<std::int64_t> update(std::string_view collection, const bj::object& filter,
                              const bj::object& change, bool upsert = false);
  Result<std::int64_t> replace(std::string_view collection, const bj::object& filter,
                               const bj::object& document, bool upsert = false);
  Result<std::int64_t> erase(std::string_view collection, const bj::object& filter);
  // On the store's database, or `admin`. With no concern but what the command says.
  Result<bj::object> run(const bj::object& command, std::string_view database = {});
  // A write command, with the pool's write concern, repeated once by the driver. Unavailable when
  // one of several writes failed. REQUIRES: insert, update, delete or findAndModify: the server
  // knows no repetition of others.
  Result<bj::object> run_write(const bj::object& command);

  // REQUIRES: not on a standalone server.
  Status begin();
  // All reads from here on show one moment, for as long as the server keeps it (5 minutes by
  // default). False: it keeps none; reads show the newest state then. `collection`: any that is
  // there.
  Result<bool> begin_snapshot(std::string_view collection);
  // Of the transaction that was begun: 32 hex digits.
  std::string session() const;
  Status commit();  // repeats it for some seconds while its outcome is unknown
  void abort();

  // The last failure was a conflict with another transaction, or nothing but bad luck: once more
  // from the start may succeed.
  bool transient() const { return transient_; }
  // A document was not as it had been read.
  void lost_race() { transient_ = true; }

  mongoc_client_t* client() { return client_; }

 private:
  struct Collection;
  Status ready() const;
  bool keeps_snapshots(std::string_view collection);
  Bson options(const bj::object& o, Status& status);
  std::unexpected<Error> failed(const bson_error_t& error, const bson_t* reply);

  Pool& pool_;
  mongoc_client_t* client_;
  mongoc_client_session_t* session_ = nullptr;
  bool snapshot_ = false;
  bool transient_ = false;
};

}  // namespace tidegate::store::mongo
