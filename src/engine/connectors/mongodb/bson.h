#pragma once
// BSON documents as they are written down here, and values out of them.

#include <bson/bson.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tidegate::engine::mongodb {

// Owns one document. put() adds a member behind the others and never looks for one of that name.
class Doc {
 public:
  Doc() : raw_(bson_new()) {}
  explicit Doc(const bson_t& from) : raw_(bson_copy(&from)) {}
  Doc(const Doc& other) : Doc(*other.raw_) {}
  Doc(Doc&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Doc& operator=(Doc other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Doc() { bson_destroy(raw_); }

  Doc& put(std::string_view key, std::string_view text);
  Doc& put(std::string_view key, const char* text) { return put(key, std::string_view(text)); }
  Doc& put(std::string_view key, std::int64_t number);
  Doc& put(std::string_view key, int number);  // an int32, as commands want it
  Doc& put(std::string_view key, bool flag);
  Doc& put(std::string_view key, const Doc& document);
  Doc& put(std::string_view key, const bson_oid_t& id);
  Doc& put_null(std::string_view key);
  Doc& put_date(std::string_view key, std::int64_t ms);  // since the epoch
  Doc& put_list(std::string_view key, std::span<const Doc> documents);
  Doc& put_texts(std::string_view key, std::span<const std::string> texts);
  Doc& put_uuid(std::string_view key, std::string_view bytes);
  Doc& put_value(std::string_view key, const bson_iter_t& value);

  bson_t* get() { return raw_; }
  const bson_t* get() const { return raw_; }

 private:
  bson_t* raw_;
};

// A value of a document, which outlives it. (A struct, because a template would forget the driver's
// alignment.)
struct Found {
  bson_iter_t raw;
};

// The member at `path` (`cursor.id`); nullopt: there is none.
std::optional<Found> find_value(const bson_t& document, const char* path);
// 0, "" and nothing where the member is absent or of another type.
std::int64_t number_at(const bson_t& document, const char* path);
std::string text_at(const bson_t& document, const char* path);
std::string oid_at(const bson_t& document, const char* path);  // 24 hex digits
std::optional<Doc> document_at(const bson_t& document, const char* path);
// The bytes of a binary value.
std::string bytes_at(const bson_t& document, const char* path);

std::string to_hex(std::string_view bytes);
// REQUIRES: hex digits, two a byte.
std::string from_hex(std::string_view digits);

}  // namespace tidegate::engine::mongodb
