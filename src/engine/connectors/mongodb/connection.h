#pragma once
// Thin RAII over libmongoc: one client, its commands, and errors in our words.

#include <mongoc/mongoc.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mongodb/bson.h"
#include "engine/connectors/mongodb/config.h"

namespace tidegate::engine::mongodb {

inline constexpr int kDuplicateKey = 11000;
inline constexpr std::string_view kSnapshotGone = "snapshot_too_old";  // Error::reason

struct ParsedUri {
  std::unique_ptr<mongoc_uri_t, decltype(&mongoc_uri_destroy)> uri{nullptr, &mongoc_uri_destroy};
  std::string complaint;  // of the driver about an option; then `uri` is of no use
};
ParsedUri parse_uri(const std::string& text);
// Time-outs, where it does not say otherwise, and majority reads and writes, whatever it says.
void prepare(mongoc_uri_t* uri);

// What an insert or a bulk of updates came to.
struct Written {
  std::int64_t inserted = 0;  // also by an upsert
  std::int64_t matched = 0;   // by an update
  struct Refused {
    std::size_t index = 0;  // in the documents
    int code = 0;
    std::string message;
    bool of_id = false;  // a duplicate of `_id`, not of another unique index
  };
  std::vector<Refused> refused;
};

struct Update {
  Doc filter, change;  // operators of update, or a whole document
  bool upsert = false;
};

class Connection;

// The documents that a search finds. Used by one thread.
class Cursor {
 public:
  Cursor(Connection& db, mongoc_collection_t* collection, mongoc_cursor_t* cursor)
      : db_(db), collection_(collection), cursor_(cursor) {}
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // Valid until the next call; nullptr: there are no more. Cancelled when the run is stopped.
  Result<const bson_t*> next();

 private:
  Connection& db_;
  mongoc_collection_t* collection_;
  mongoc_cursor_t* cursor_;
};

// One client, not a pool: it has no thread of its own, so that a fork or a quick end costs nothing.
// Used by one thread. Majority writes and reads, from the primary.
class Connection {
 public:
  // Unavailable, within seconds: nobody answers. Forbidden: refused credentials. Invalid: too old a
  // server (MongoDB 5.0 is needed).
  static Result<std::unique_ptr<Connection>> open(const Config& config, std::stop_token stop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool transactions() const { return transactions_; }  // a replica set or a sharded cluster
  const std::string& place() const { return place_; }
  const std::string& database() const { return database_; }
  // As Source::table_place(): by the server's process, which each mongos of a cluster has of its
  // own.
  std::optional<std::string> place_of(const std::string& collection) const {
    if (process_.empty()) return std::nullopt;
    return "mongodb " + process_ + " " + database_ + "." + collection;
  }

  // On the database, or `admin`; outside of any transaction.
  Result<Doc> run(const Doc& command, const char* database = nullptr);
  // What listCollections shows of it; nullopt: there is none.
  Result<std::optional<Doc>> collection_info(const std::string& name);
  Result<std::vector<Doc>> list_collections(const Doc& filter);
  // True: it was there.
  Result<bool> drop(const std::string& collection);

  // All below take part in the transaction when one was begun.
  Result<std::unique_ptr<Cursor>> find(const std::string& collection, const Doc& filter,
                                       const Doc& options);
  // Calls `row` for each document until it returns false.
  Status each(const std::string& collection, const Doc& filter, const Doc& options,
              const std::function<Result<bool>(const bson_t&)>& row);
  Result<std::optional<Doc>> find_one(const std::string& collection, const Doc& filter);
  Result<bool> any(const std::string& collection);
  Result<std::int64_t> count(const std::string& collection);  // by the collection's own record
  // The number of documents that matched; an inserted one counts. Conflict: a duplicate key.
  Result<std::int64_t> update(const std::string& collection, const Doc& filter, const Doc& change,
                              bool upsert = false, bool many = false);
  Result<std::int64_t> erase(const std::string& collection, const Doc& filter);
  // Refused documents (duplicates, validators) are in the result; all others are written unless
  // `ordered`.
  Result<Written> insert(const std::string& collection, const std::vector<const bson_t*>& documents,
                         bool ordered);
  Result<Written> update_all(const std::string& collection, const std::vector<Update>& updates,
                             bool ordered);

  // REQUIRES: transactions().
  Status begin();
  bool in_transaction() const;
  Status commit();  // repeats it for some seconds while its outcome is unknown
  void abort();
  // `steps` in a transaction, and again while it loses races; without transactions, one by one.
  // REQUIRES: steps may run several times.
  Status together(const std::function<Status()>& steps);
  // Of the transactions: 32 hex digits; "" without transactions.
  std::string session() const;
  Status kill_session(const std::string& session);
  // The last failure was a conflict with another transaction: once more may succeed.
  bool transient() const { return transient_; }

  // All that each() reads from here on shows one moment. False: the server keeps no snapshots.
  Result<bool> begin_snapshot(const std::string& collection);
  void end_snapshot();

 private:
  friend class Cursor;
  Connection() = default;
  struct Collection;
  Result<Doc> options(const Doc& from) const;
  std::unexpected<Error> failed(const bson_error_t& error, const bson_t* reply);
  Result<Written> written(bool done, const bson_error_t& error, const bson_t& reply);
  Status stopped() const;

  mongoc_client_t* client_ = nullptr;
  mongoc_client_session_t* session_ = nullptr;
  mongoc_client_session_t* snapshot_ = nullptr;
  std::stop_token stop_;
  std::string database_, place_;
  std::string process_;  // of the server; "" when it does not say
  bool transactions_ = false;
  bool transient_ = false;
};

}  // namespace tidegate::engine::mongodb
