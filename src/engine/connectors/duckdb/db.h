#pragma once
// A DuckDB file, opened once in a process, and connections to it.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/connectors/duckdb/api.h"
#include "engine/core/context.h"

namespace tidegate::engine::duckdb {

enum class Open : std::uint8_t { ReadOnly, Write };

// The rows of a query whose columns are VARCHAR, BIGINT or BOOLEAN.
class Rows {
 public:
  std::int64_t size() const {
    return columns_ == 0 ? 0 : static_cast<std::int64_t>(cells_.size() / columns_);
  }
  bool null(std::int64_t row, std::size_t column) const { return !cell(row, column); }
  std::string text(std::int64_t row, std::size_t column) const {
    return cell(row, column).value_or("");
  }
  // 0 for NULL.
  std::int64_t integer(std::int64_t row, std::size_t column) const;
  bool flag(std::int64_t row, std::size_t column) const { return integer(row, column) != 0; }
  // Rows that an INSERT, UPDATE, DELETE or MERGE met.
  std::int64_t changed() const { return changed_; }

 private:
  friend class Db;
  const std::optional<std::string>& cell(std::int64_t row, std::size_t column) const {
    return cells_[static_cast<std::size_t>(row) * columns_ + column];
  }
  std::size_t columns_ = 0;
  std::int64_t changed_ = 0;
  std::vector<std::optional<std::string>> cells_;
};

using Value = std::variant<std::string, std::int64_t>;

// A query's rows as they are computed. The connection is used by nobody else meanwhile.
class Stream {
 public:
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  // Some 2,000 rows; null at the end.
  Result<std::shared_ptr<arrow::RecordBatch>> next();

 private:
  friend class Db;
  explicit Stream(class Db& db) : db_(db) {}

  class Db& db_;
  QueryResult result_{};
  ArrowOptions options_ = nullptr;
  std::shared_ptr<arrow::Schema> schema_;
};

// Rows into a statement that reads them as the table `appended_data`.
class Insert {
 public:
  Insert(const Insert&) = delete;
  Insert& operator=(const Insert&) = delete;
  ~Insert();

  // All of them have gone through the statement when it returns.
  Status put(const arrow::RecordBatch& batch);

 private:
  friend class Db;
  explicit Insert(class Db& db) : db_(db) {}
  Error error() const;

  class Db& db_;
  Appender appender_ = nullptr;
  ConvertedSchema converted_ = nullptr;
};

// The open file; shared by all connections of this process.
struct Instance;

// One connection. Used by one thread.
class Db {
 public:
  // Waits up to `patience` for other processes that have the file open; `on_blocked` is called once
  // when it has waited for a while, this process having no lock on the file. A file that is not
  // there is made (Write) or NotFound. Unavailable, naming the other process: it is in use.
  static Result<std::unique_ptr<Db>> open(const std::string& path, Open how, Millis patience,
                                          const Context& context,
                                          const std::function<void()>& on_blocked = {});
  // In memory, for what is to be tried.
  static Result<std::unique_ptr<Db>> scratch(const Context& context);
  // Another connection to the same file.
  Result<std::unique_ptr<Db>> another() const;
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  const std::string& path() const;

  // One statement. Cancelled after a stop.
  Result<Rows> query(std::string_view sql, std::span<const Value> values = {});
  Result<Rows> query(std::string_view sql, std::initializer_list<Value> values) {
    return query(sql, std::span(values.begin(), values.size()));
  }
  Status exec(std::string_view sql);
  // Does it stand as a statement? Runs nothing.
  Status parse(std::string_view sql);
  Result<std::unique_ptr<Stream>> stream(std::string_view sql);
  // `types`: those of the columns of `schema`, as declared in DuckDB.
  Result<std::unique_ptr<Insert>> insert(const std::string& sql, const arrow::Schema& schema);

  // COMMIT, so that it outlives a power cut: each checkpoint ends the log, whose next one is a new
  // name in the folder, and DuckDB syncs the log alone. An error may come after the commit.
  Status commit();
  // Nothing, when no transaction is open.
  void rollback();
  // Unavailable: the file at the path is not the one that is open.
  Status in_place() const;

 private:
  friend class Stream;
  friend class Insert;
  explicit Db(std::shared_ptr<Instance> instance, const Context& context)
      : instance_(std::move(instance)), context_(context) {}
  static Result<std::unique_ptr<Db>> connect(std::shared_ptr<Instance> instance,
                                             const Context& context);
  Result<Prepared> prepare(std::string_view sql);
  Error error(int type, std::string_view message) const;
  Error stopped() const;
  // Empty: it is no error.
  std::optional<Error> taken(ErrorData data) const;

  std::shared_ptr<Instance> instance_;
  const Context& context_;
  Connection connection_ = nullptr;
  std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop_;
};

// `"name"`.
std::string quote(std::string_view name);
// `'text'`.
std::string literal(std::string_view text);
// The SQL of a name as DuckDB compares it: without the case of A to Z alone, as ascii_lower() does;
// its own lower() knows others too.
std::string folded(std::string_view expression);

}  // namespace tidegate::engine::duckdb
