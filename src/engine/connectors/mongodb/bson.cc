#include "engine/connectors/mongodb/bson.h"

#include <fmt/format.h>

#include <charconv>

namespace tidegate::engine::mongodb {
namespace {

int length(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

Doc& Doc::put(std::string_view key, std::string_view text) {
  bson_append_utf8(raw_, key.data(), length(key), text.data(), length(text));
  return *this;
}

Doc& Doc::put(std::string_view key, std::int64_t number) {
  bson_append_int64(raw_, key.data(), length(key), number);
  return *this;
}

Doc& Doc::put(std::string_view key, int number) {
  bson_append_int32(raw_, key.data(), length(key), number);
  return *this;
}

Doc& Doc::put(std::string_view key, bool flag) {
  bson_append_bool(raw_, key.data(), length(key), flag);
  return *this;
}

Doc& Doc::put(std::string_view key, const Doc& document) {
  bson_append_document(raw_, key.data(), length(key), document.get());
  return *this;
}

Doc& Doc::put(std::string_view key, const bson_oid_t& id) {
  bson_append_oid(raw_, key.data(), length(key), &id);
  return *this;
}

Doc& Doc::put_null(std::string_view key) {
  bson_append_null(raw_, key.data(), length(key));
  return *this;
}

Doc& Doc::put_date(std::string_view key, std::int64_t ms) {
  bson_append_date_time(raw_, key.data(), length(key), ms);
  return *this;
}

Doc& Doc::put_list(std::string_view key, std::span<const Doc> documents) {
  Doc list;
  for (std::size_t i = 0; i < documents.size(); ++i) list.put(std::to_string(i), documents[i]);
  bson_append_array(raw_, key.data(), length(key), list.get());
  return *this;
}

Doc& Doc::put_texts(std::string_view key, std::span<const std::string> texts) {
  Doc list;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    list.put(std::to_string(i), std::string_view(texts[i]));
  }
  bson_append_array(raw_, key.data(), length(key), list.get());
  return *this;
}

Doc& Doc::put_uuid(std::string_view key, std::string_view bytes) {
  bson_append_binary(raw_, key.data(), length(key), BSON_SUBTYPE_UUID,
                     reinterpret_cast<const std::uint8_t*>(bytes.data()),
                     static_cast<std::uint32_t>(bytes.size()));
  return *this;
}

Doc& Doc::put_value(std::string_view key, const bson_iter_t& value) {
  bson_append_iter(raw_, key.data(), length(key), &value);
  return *this;
}

std::optional<Found> find_value(const bson_t& document, const char* path) {
  bson_iter_t at;
  Found found;
  if (!bson_iter_init(&at, &document) || !bson_iter_find_descendant(&at, path, &found.raw)) {
    return std::nullopt;
  }
  return found;
}

std::int64_t number_at(const bson_t& document, const char* path) {
  const auto at = find_value(document, path);
  return at ? bson_iter_as_int64(&at->raw) : 0;
}

std::string text_at(const bson_t& document, const char* path) {
  const auto at = find_value(document, path);
  if (!at || !BSON_ITER_HOLDS_UTF8(&at->raw)) return {};
  std::uint32_t size = 0;
  const char* text = bson_iter_utf8(&at->raw, &size);
  return {text, size};
}

std::string oid_at(const bson_t& document, const char* path) {
  const auto at = find_value(document, path);
  if (!at || !BSON_ITER_HOLDS_OID(&at->raw)) return {};
  char hex[25];
  bson_oid_to_string(bson_iter_oid(&at->raw), hex);
  return hex;
}

std::optional<Doc> document_at(const bson_t& document, const char* path) {
  const auto at = find_value(document, path);
  if (!at || !BSON_ITER_HOLDS_DOCUMENT(&at->raw)) return std::nullopt;
  std::uint32_t size = 0;
  const std::uint8_t* bytes = nullptr;
  bson_iter_document(&at->raw, &size, &bytes);
  bson_t inner;
  if (!bson_init_static(&inner, bytes, size)) return std::nullopt;
  return Doc(inner);
}

std::string bytes_at(const bson_t& document, const char* path) {
  const auto at = find_value(document, path);
  if (!at || !BSON_ITER_HOLDS_BINARY(&at->raw)) return {};
  std::uint32_t size = 0;
  const std::uint8_t* bytes = nullptr;
  bson_subtype_t kind{};
  bson_iter_binary(&at->raw, &kind, &size, &bytes);
  return {reinterpret_cast<const char*>(bytes), size};
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string from_hex(std::string_view digits) {
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    int byte = 0;
    std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
    out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace tidegate::engine::mongodb
