#pragma once
// A result of libpq, in binary format.

#include <memory>

#include "control/store/sql_rows.h"

struct pg_result;

namespace tidegate::store::postgres {

// One row. `first`: which column of the result is this row's column 0, for joined selects.
class Row final : public sql::Row {
 public:
  Row(const pg_result* result, int row, int first = 0)
      : result_(result), row_(row), first_(first) {}
  bool null(int column) const override;
  std::int64_t integer(int column) const override;  // also of a boolean
  std::string_view view(int column) const override;
  Instant time(int column) const override;
  Row from(int column) const { return {result_, row_, first_ + column}; }

 private:
  const pg_result* result_;
  int row_, first_;
};

class Rows {
 public:
  explicit Rows(pg_result* result) : result_(result) {}
  int size() const;
  bool empty() const { return size() == 0; }
  Row operator[](int row) const { return {result_.get(), row}; }
  Row front() const { return (*this)[0]; }
  std::int64_t changed() const;  // rows written
  std::string_view tag() const;  // "COMMIT", "INSERT 0 1", …
  const pg_result* raw() const { return result_.get(); }

  class Iterator {
   public:
    Iterator(const Rows& rows, int row) : rows_(&rows), row_(row) {}
    Row operator*() const { return (*rows_)[row_]; }
    Iterator& operator++() {
      ++row_;
      return *this;
    }
    bool operator!=(const Iterator& o) const { return row_ != o.row_; }

   private:
    const Rows* rows_;
    int row_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  struct Clear {
    void operator()(pg_result* r) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

}  // namespace tidegate::store::postgres
