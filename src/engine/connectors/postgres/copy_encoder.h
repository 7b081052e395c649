#pragma once
// Arrow columns into the binary format of COPY.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace tidegate::engine::postgres {

// Of one column: how its values travel.
class ValueEncoder {
 public:
  virtual ~ValueEncoder() = default;
  virtual Status attach(const std::shared_ptr<arrow::Array>& column) = 0;
  // Why the value has no form in PostgreSQL; "": it has one. REQUIRES: not NULL.
  virtual std::string why_not(std::int64_t row) const = 0;
  // The value with its length before it. REQUIRES: why_not() is empty.
  virtual void put(std::string& out, std::int64_t row) const = 0;

  // For a column of the type that target_type() gives to the field.
  static Result<std::unique_ptr<ValueEncoder>> make(const arrow::Field& field);
};

class CopyEncoder {
 public:
  static Result<CopyEncoder> make(const arrow::Schema& schema);

  static std::string header();
  static std::string trailer();

  struct Refused {
    std::int64_t row;
    std::string why;
  };
  // Rows that cannot be held are left out and told, ascending; the others are added to `out`.
  Result<std::vector<Refused>> put(const arrow::RecordBatch& batch, std::string& out);

 private:
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<ValueEncoder>> columns_;
};

}  // namespace tidegate::engine::postgres
