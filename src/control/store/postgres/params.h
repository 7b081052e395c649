#pragma once
// Parameters of a statement in PostgreSQL's binary format, which is exact and needs no quoting.

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace tidegate::store::postgres {

// Oids of built-in types are fixed (src/include/catalog/pg_type.dat).
struct WireType {
  unsigned oid, array_oid;
};
inline constexpr WireType kBool{16, 1000}, kInt8{20, 1016}, kText{25, 1009},
    kTimestamptz{1184, 1185};

void put_int(std::string& out, std::int64_t v, int bytes);  // big-endian
// Text that a UTF-8 database accepts: what is no UTF-8, and NUL, becomes U+FFFD. Were an error
// message refused for one byte, its run could never end.
void put_text(std::string& out, std::string_view text);
// Microseconds since 2000-01-01, within what the type can hold.
std::int64_t to_pg_time(Instant t);
Instant from_pg_time(std::int64_t micros);

template <class T>
struct Wire;
template <std::integral T>
struct Wire<T> {
  static constexpr WireType type = std::same_as<T, bool> ? kBool : kInt8;
  static void put(std::string& out, T v) {
    put_int(out, static_cast<std::int64_t>(v), std::same_as<T, bool> ? 1 : 8);
  }
};
template <std::convertible_to<std::string_view> T>
struct Wire<T> {
  static constexpr WireType type = kText;
  static void put(std::string& out, std::string_view v) { put_text(out, v); }
};
template <class Tag>
struct Wire<Id<Tag>> {
  static constexpr WireType type = kText;
  static void put(std::string& out, const Id<Tag>& v) { put_text(out, v.str()); }
};
template <>
struct Wire<Fence> {
  static constexpr WireType type = kInt8;
  static void put(std::string& out, Fence v) { put_int(out, value(v), 8); }
};
template <>
struct Wire<Instant> {
  static constexpr WireType type = kTimestamptz;
  static void put(std::string& out, Instant v) { put_int(out, to_pg_time(v), 8); }
};

template <class T>
struct Optional : std::false_type {
  using Value = T;
};
template <class T>
struct Optional<std::optional<T>> : std::true_type {
  using Value = T;
};

class Params {
 public:
  template <class... Args>
  static Params of(const Args&... args) {
    Params p;
    (p.add(args), ...);
    return p;
  }
  template <class T>
  Params& add(const T& v) {
    if constexpr (Optional<T>::value) {
      using Value = Optional<T>::Value;
      begin(Wire<Value>::type.oid);
      if (v) Wire<Value>::put(bytes_, *v);
      end(!v.has_value());
    } else {
      begin(Wire<T>::type.oid);
      Wire<T>::put(bytes_, v);
      end(false);
    }
    return *this;
  }
  // An array; an element may be optional.
  template <class T>
  Params& add(const std::vector<T>& column) {
    using Value = Optional<T>::Value;
    begin(Wire<Value>::type.array_oid);
    begin_array(Wire<Value>::type.oid, column.size());
    for (const auto& v : column) {
      const std::size_t length_at = bytes_.size();
      put_int(bytes_, -1, 4);
      if constexpr (Optional<T>::value) {
        if (!v) continue;
        Wire<Value>::put(bytes_, *v);
      } else {
        Wire<Value>::put(bytes_, v);
      }
      set_length(length_at);
    }
    end(false);
    return *this;
  }

  int size() const { return static_cast<int>(types_.size()); }
  const unsigned* types() const { return types_.data(); }
  // Valid while this is neither changed nor moved.
  std::vector<const char*> values() const;
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  void begin(unsigned oid);
  void end(bool null);
  void begin_array(unsigned element, std::size_t size);
  void set_length(std::size_t at);

  std::string bytes_;
  std::vector<unsigned> types_;
  std::vector<std::size_t> starts_;
  std::vector<bool> nulls_;
  std::vector<int> lengths_, formats_;
};

// One column of an array parameter out of a range.
template <class Range, class F>
auto column(const Range& range, F&& f) {
  std::vector<std::decay_t<std::invoke_result_t<F&, decltype(*range.begin())>>> out;
  out.reserve(range.size());
  for (const auto& item : range) out.push_back(std::invoke(f, item));
  return out;
}

struct Query {
  std::string sql;
  Params params;
};
template <class... Args>
Query query(std::string sql, const Args&... args) {
  return {std::move(sql), Params::of(args...)};
}

}  // namespace tidegate::store::postgres
