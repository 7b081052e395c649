#include "control/store/mongo/bson.h"

#include <charconv>
#include <string>

namespace tidegate::store::mongo {
namespace {

constexpr std::string_view kDate = "$date", kUnsigned = "%u", kEmpty = "%e";
constexpr std::string_view kHex = "0123456789abcdef";

void append(bson_t* to, std::string_view key, const bj::value& value);

void append_object(bson_t* to, const bj::object& object) {
  for (const auto& member : object) append(to, member.key(), member.value());
}

void append_array(bson_t* to, const bj::array& array) {
  for (std::size_t i = 0; i < array.size(); ++i) append(to, std::to_string(i), array[i]);
}

void append(bson_t* to, std::string_view key, const bj::value& value) {
  const char* name = key.data();
  const int length = static_cast<int>(key.size());
  switch (value.kind()) {
    case bj::kind::null:
      bson_append_null(to, name, length);
      return;
    case bj::kind::bool_:
      bson_append_bool(to, name, length, value.get_bool());
      return;
    case bj::kind::int64:
      bson_append_int64(to, name, length, value.get_int64());
      return;
    case bj::kind::uint64:
      bson_append_int64(to, name, length, static_cast<std::int64_t>(value.get_uint64()));
      return;
    case bj::kind::double_:
      bson_append_double(to, name, length, value.get_double());
      return;
    case bj::kind::string:
      bson_append_utf8(to, name, length, value.get_string().data(),
                       static_cast<int>(value.get_string().size()));
      return;
    case bj::kind::array: {
      bson_t child;
      bson_append_array_begin(to, name, length, &child);
      append_array(&child, value.get_array());
      bson_append_array_end(to, &child);
      return;
    }
    case bj::kind::object:
      break;
  }
  const bj::object& object = value.get_object();
  if (const auto* ms = object.if_contains(kDate); ms != nullptr && object.size() == 1) {
    bson_append_date_time(to, name, length, ms->as_int64());
    return;
  }
  bson_t child;
  bson_append_document_begin(to, name, length, &child);
  append_object(&child, object);
  bson_append_document_end(to, &child);
}

bj::value read(const bson_iter_t& at);

// By reference: as an argument an iterator would lose its alignment.
bj::object read_object(bson_iter_t& at) {
  bj::object object;
  while (bson_iter_next(&at)) {
    object[bj::string_view(bson_iter_key(&at), bson_iter_key_len(&at))] = read(at);
  }
  return object;
}

bj::value read_children(const bson_iter_t& at, bool array) {
  bson_iter_t child;
  if (!bson_iter_recurse(&at, &child)) return nullptr;
  if (!array) return read_object(child);
  bj::array list;
  while (bson_iter_next(&child)) list.push_back(read(child));
  return list;
}

bj::value read(const bson_iter_t& at) {
  switch (bson_iter_type(&at)) {
    case BSON_TYPE_DOUBLE:
      return bson_iter_double(&at);
    case BSON_TYPE_UTF8: {
      std::uint32_t length = 0;
      const char* text = bson_iter_utf8(&at, &length);
      return bj::string(text, length);
    }
    case BSON_TYPE_DOCUMENT:
      return read_children(at, false);
    case BSON_TYPE_ARRAY:
      return read_children(at, true);
    case BSON_TYPE_BOOL:
      return bson_iter_bool(&at);
    case BSON_TYPE_DATE_TIME:
      return bson_iter_date_time(&at);
    case BSON_TYPE_INT32:
      return std::int64_t{bson_iter_int32(&at)};
    case BSON_TYPE_INT64:
      return bson_iter_int64(&at);
    case BSON_TYPE_OID: {
      char text[25];
      bson_oid_to_string(bson_iter_oid(&at), text);
      return bj::string(text);
    }
    default:
      return nullptr;  // nothing that is kept here
  }
}

bool is_special(char c) { return c == '$' || c == '.' || c == '%' || c == '\0'; }

std::string shield_name(std::string_view name) {
  if (name.empty()) return std::string(kEmpty);
  std::string out;
  for (const char c : name) {
    if (is_special(c)) {
      out += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string unshield_name(std::string_view name) {
  if (name == kEmpty) return {};
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%' && i + 2 < name.size()) {
      out.push_back(static_cast<char>(kHex.find(name[i + 1]) * 16 + kHex.find(name[i + 2])));
      i += 2;
    } else {
      out.push_back(name[i]);
    }
  }
  return out;
}

// `f` for every value inside, `name` for every name.
template <class Name, class F>
bj::value rebuild(const bj::value& value, Name name, F f) {
  if (const auto* list = value.if_array()) {
    bj::array out;
    for (const auto& item : *list) out.push_back(f(item));
    return out;
  }
  const auto* object = value.if_object();
  if (object == nullptr) return value;
  bj::object out;
  for (const auto& member : *object) out[name(member.key())] = f(member.value());
  return out;
}

}  // namespace

Bson to_bson(const bj::object& object) {
  Bson out;
  append_object(out.get(), object);
  return out;
}

bj::object from_bson(const bson_t& document) {
  bson_iter_t at;
  if (!bson_iter_init(&at, &document)) return {};
  return read_object(at);
}

bj::value shield(const bj::value& value) {
  if (value.is_uint64() && value.get_uint64() > INT64_MAX) {
    return bj::object{{kUnsigned, std::to_string(value.get_uint64())}};
  }
  return rebuild(value, shield_name, shield);
}

bj::value unshield(const bj::value& value) {
  const auto* object = value.if_object();
  if (object != nullptr && object->size() == 1 && object->begin()->key() == kUnsigned) {
    const std::string_view text = object->begin()->value().get_string();
    std::uint64_t n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n);
    return n;
  }
  return rebuild(value, unshield_name, unshield);
}

}  // namespace tidegate::store::mongo
