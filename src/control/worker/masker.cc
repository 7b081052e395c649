#include "control/worker/masker.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "base/json.h"
#include "base/secret.h"

namespace tidegate::worker {
namespace {

namespace bj = boost::json;

// A shorter one would blank out half of every text and is no secret worth the name.
constexpr std::size_t kShortest = 4;

bool is_sealed(const bj::value& v) {
  const bj::object* o = v.if_object();
  return o != nullptr && o->size() == 1 && o->contains("$sealed");
}

}  // namespace

void Masker::add(const bj::object& stored, const bj::object& plain) {
  for (const auto& member : stored) {
    const bj::value* open = plain.if_contains(member.key());
    if (open == nullptr) continue;
    if (is_sealed(member.value())) {
      add_all(*open);
    } else if (const bj::object* nested = member.value().if_object(); nested && open->is_object()) {
      add(*nested, open->get_object());
    } else if (const bj::array* items = member.value().if_array(); items && open->is_array()) {
      for (std::size_t i = 0; i < items->size() && i < open->get_array().size(); ++i) {
        // As an object of one member, so that both shapes take one path.
        add(bj::object{{"", (*items)[i]}}, bj::object{{"", open->get_array()[i]}});
      }
    }
  }
}

void Masker::add_all(const bj::value& plain) {
  if (const bj::string* text = plain.if_string()) {
    add_text(std::string(*text));
    // A document in a string (a key file) is printed in lines or with escapes.
    std::string line;
    for (const char c : *text) {
      if (c == '\n' || c == '\r') {
        add_text(std::exchange(line, {}));
      } else {
        line += c;
      }
    }
    add_text(line);
  } else if (const bj::object* object = plain.if_object()) {
    for (const auto& member : *object) add_all(member.value());
  } else if (const bj::array* items = plain.if_array()) {
    for (const bj::value& item : *items) add_all(item);
  } else if (plain.is_number()) {
    add_text(json::write(plain));
  }
}

void Masker::add_text(std::string text) {
  if (text.size() < kShortest || std::ranges::count(secrets_, text)) return;
  const auto at = std::ranges::find_if(
      secrets_, [&](const std::string& other) { return other.size() < text.size(); });
  secrets_.insert(at, std::move(text));
}

void Masker::mask(std::string& text) const {
  for (const std::string& secret : secrets_) {
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos;
         at += kMasked.size()) {
      text.replace(at, secret.size(), kMasked);
    }
  }
}

void Masker::mask(store::AttemptEnd& end) const {
  mask(end.error);
  for (std::string& warning : end.warnings) mask(warning);
  for (protocol::EntityResult& entity : end.entities) {
    if (entity.error) mask(*entity.error);
    for (std::string& warning : entity.warnings) mask(warning);
    for (std::string& change : entity.schema_changes) mask(change);
  }
}

}  // namespace tidegate::worker
