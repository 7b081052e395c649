#pragma once
// Between JSON values, in which documents, filters and updates are written down here, and BSON.
// {"$date": milliseconds} is a date; dates, ids and all integers come back as plain values.

#include <bson/bson.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

#include "base/time.h"

namespace tidegate::store::mongo {

namespace bj = boost::json;

// Owns one document.
class Bson {
 public:
  Bson() : raw_(bson_new()) {}
  explicit Bson(bson_t* owned) : raw_(owned) {}
  Bson(Bson&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Bson& operator=(Bson&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Bson() { bson_destroy(raw_); }

  bson_t* get() { return raw_; }
  const bson_t* get() const { return raw_; }

 private:
  bson_t* raw_;
};

Bson to_bson(const bj::object& object);
bj::object from_bson(const bson_t& document);

inline bj::value date(Instant t) { return bj::object{{"$date", to_ms(t)}}; }
inline bj::value date_or_null(const std::optional<Instant>& t) {
  if (!t) return nullptr;
  return date(*t);
}
// {"$in": [first, …]} and the like.
template <class Items, class To>
bj::object any_of(const Items& items, To to) {
  bj::array list;
  for (const auto& item : items) list.emplace_back(to(item));
  return {{"$in", std::move(list)}};
}

// What users name (configuration, entities, labels) must not read as an operator or a path: `$`,
// `.`, `%` and NUL in names become %xx, numbers beyond 64 signed bits a text. unshield() undoes it.
bj::value shield(const bj::value& value);
bj::value unshield(const bj::value& value);

}  // namespace tidegate::store::mongo
