#pragma once
// The reading half of a connector.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/core/catalog.h"

namespace tidegate::engine {

inline constexpr std::int64_t kMaxBatchRows = 64LL * 1024;
inline constexpr std::int64_t kMaxBatchBytes = 16LL << 20;

// A row that has no place in a batch because a value cannot be converted to its column's type.
struct RejectedRow {
  std::string locator;  // where it stands in the source: `airports.csv line 17`, `rowid 42`
  std::string reason;   // column, problem: `column "dep_time": "25:61" is not a time`
  std::string row;      // the raw row as text (JSON where possible), cut to 4 KiB
};

struct ReadBatch {
  std::shared_ptr<arrow::RecordBatch> batch;  // may have no rows, never null
  std::int64_t bytes = 0;                     // bytes taken from the source for it
  std::vector<RejectedRow> rejected;          // rows read beside those in `batch`
};

// One pass over one partition. Used by one thread.
class Reader {
 public:
  virtual ~Reader() = default;

  // The schema of every batch: exactly ReadParams::columns, with the types discover() announced.
  virtual std::shared_ptr<arrow::Schema> schema() const = 0;

  // The next rows, at most kMaxBatchRows and about kMaxBatchBytes; nullopt at the end. After an
  // error or the end it is not called again. Leaves with Cancelled soon after Context::stop.
  virtual Result<std::optional<ReadBatch>> next() = 0;

  // True when rows come in ascending order of the cursor, NULLs first: the engine may then commit
  // and remember a position in the middle.
  virtual bool ordered_by_cursor() const { return false; }
};

// Made from a configuration by the connector's factory (registry.h). Used by one thread at a time.
class Source {
 public:
  virtual ~Source() = default;

  // Who the source is, without secrets, equal for two configurations that reach the same data
  // (`sqlite:/data/shop.db`). Part of the state's fingerprint.
  virtual std::string identity() const = 0;

  // The files of this machine that reads open, of every entity; known after discover().
  virtual std::vector<std::string> local_files() const { return {}; }

  // The table of a database server that holds the entity's rows, as a text that is equal for all
  // connections which lead to it; nullopt: none, or nobody knows. REQUIRES: discover().
  virtual Result<std::optional<std::string>> table_place(const std::string& entity) {
    static_cast<void>(entity);
    return std::nullopt;
  }

  // Reachable and readable? Cheap; reads no rows.
  virtual Status check() = 0;

  // What can be read. Looking into an entity may mean to read all of it, so only those that are
  // wanted are.
  virtual Result<Catalog> discover(const Wanted& wanted) = 0;

  // As discover(), but bounded whatever the source's size: from a sample, so that types and counts
  // are a guess, which a warning of the entity says; the entities that are left are in `others`.
  // Reads after it go by a discover() of their own.
  virtual Result<Catalog> sample() { return discover({}); }

  // Splits a read. At least one partition, also for an entity without rows. The default reads all
  // in one.
  virtual Result<std::vector<Partition>> plan(const ReadParams& params);

  // REQUIRES: `partition` came from plan(params); this outlives the reader.
  virtual Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                               const Partition& partition) = 0;
};

}  // namespace tidegate::engine
