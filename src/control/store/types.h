#pragma once
// Values shared by the store's interfaces.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"

namespace tidegate::store {

// A page of a list, newest first unless the query says otherwise.
struct Page {
  std::size_t limit = 50;             // 1–1000
  std::optional<std::string> cursor;  // opaque, from the last page; Malformed when it is not ours
};
template <class T>
struct Listing {
  std::vector<T> items;
  std::optional<std::string> next_cursor;
  std::int64_t total = 0;  // of the whole query, without the page
};

// A repeated POST. The key is kept for 24 h by the transaction that creates or changes; the same
// (scope, key) with the same body changes nothing and gives the first one's id (of a change: the
// thing as it is now), with another body Conflict `idempotency_mismatch`.
struct Idempotency {
  std::string scope;  // token id and route
  std::string key;
  std::string body_hash;  // hex
};
template <class IdType>
struct Created {
  IdType id;
  bool replayed = false;  // true: made by an earlier request with the same key
};

// The revision the caller read (If-Match); a write under another one is PreconditionFailed.
using IfRevision = std::optional<std::int64_t>;

// Versions of a store's schema; 0: there is no store yet.
struct SchemaState {
  int present = 0;
  int needed = 0;                               // by this binary
  std::map<std::string, std::string> settings;  // where the store has them already
};

enum class ChangeKind : std::uint8_t { Job, Run, Connection, Workspace, Token };
// A hint that something changed; never the truth: read again. An empty id: anything of that kind.
struct Change {
  ChangeKind kind;
  std::string id;
};
using ChangeHandler = std::function<void(const Change&)>;  // must not block or call the store

}  // namespace tidegate::store
