#pragma once
// The columns of a collection, from its documents.

#include <arrow/type_fwd.h>
#include <bson/bson.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace tidegate::engine::mongodb {

// What the values of one field are, besides NULL and absent.
enum FieldKinds : std::uint16_t {
  kBool = 1,
  kInteger = 2,  // int32, int64
  kDouble = 4,
  kDecimal = 8,  // a number; NaN and infinity are texts
  kText = 16,
  kDate = 32,
  kObjectId = 64,
  kUuid = 128,
  kBytes = 256,   // binData of the generic subtype
  kNested = 512,  // documents, arrays, and all that only Extended JSON can say
};
FieldKinds kind_of(const bson_iter_t& value);

// How the values of a column are read.
enum class ColumnKind : std::uint8_t {
  NoValues,
  Bool,
  Integer,
  Double,    // also whole numbers that a double holds exactly
  Decimal,   // also whole numbers
  Text,      // also mixtures of numbers, texts, dates, …, each as it is written
  Date,      // timestamp in ms, UTC
  ObjectId,  // text of 24 hex digits
  Uuid,      // text
  Bytes,
  Json,  // Extended JSON
};

struct FieldGuess {
  std::string name;
  std::uint16_t kinds = 0;
  int int_digits = 0, scale = 0;  // of decimals and whole numbers
  bool exact_in_double = true;    // of whole numbers

  void add(const bson_iter_t& value);
  ColumnKind kind() const;
  std::shared_ptr<arrow::Field> field() const;
};

// Fields in the order in which they first appear. Used by one thread.
class ShapeGuess {
 public:
  void add(const bson_t& document);
  const std::vector<FieldGuess>& fields() const { return fields_; }

 private:
  std::vector<FieldGuess> fields_;
  std::unordered_map<std::string, std::size_t> places_;
};

// What its values become in words of the guide.
std::shared_ptr<arrow::Field> to_field(const std::string& name, ColumnKind kind, int precision = 0,
                                       int scale = 0);

}  // namespace tidegate::engine::mongodb
