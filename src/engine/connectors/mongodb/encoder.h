#pragma once
// Rows of Arrow batches as BSON documents: a field for each column, the key as `_id`.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mongodb/bson.h"
#include "engine/connectors/mongodb/config.h"

namespace tidegate::engine::mongodb {

inline constexpr std::uint32_t kMaxDocument = 16 << 20;  // bytes, MongoDB's own

// What a column is in MongoDB, in words of the guide; "": it has no place there.
std::string bson_type_words(const arrow::Field& field, Timestamps timestamps);

// The filter of the document with a row's `{_id: …}`; a value that looks like an operator is none.
Doc with_id(const Doc& id);

// Used by one thread.
class DocumentEncoder {
 public:
  // Of the fields of the schema that are written. Without a key `_id` is left to the caller.
  // Unsupported, naming the column: a type that BSON has nothing for.
  static Result<DocumentEncoder> make(const arrow::Schema& schema, const std::vector<int>& fields,
                                      const std::vector<std::string>& key, Timestamps timestamps);

  struct Row {
    Doc id;      // {_id: …}; empty without a key
    Doc fields;  // all others
  };
  struct Refused {
    std::int64_t row = 0;  // of the batch
    std::string why;       // column, problem, remedy
  };
  // `take` gets each row that can be held, in order.
  std::vector<Refused> encode(const arrow::RecordBatch& batch,
                              const std::function<void(std::int64_t row, Row)>& take) const;

 private:
  // "": appended; else what is wrong with the value.
  using Append =
      std::function<std::string(bson_t*, std::string_view, const arrow::Array&, std::int64_t)>;
  struct Column {
    int field;
    std::string name;
    Append append;
  };
  static Append appender(const arrow::Field& field, Timestamps timestamps);
  std::string append_id(Doc& to, const arrow::RecordBatch& batch, std::int64_t row) const;

  std::vector<Column> columns_, key_;
};

}  // namespace tidegate::engine::mongodb
