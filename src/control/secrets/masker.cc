#include "control/secrets/masker.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/secret.h"
#include "control/model/connection_json.h"

namespace tidegate::secrets {
namespace {

namespace bj = boost::json;

// A shorter one would blank out half of every text and is no secret worth the name.
constexpr std::size_t kShortest = 4;

// As it stands in a URL that a driver makes of its parts.
std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").contains(c);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

void Masker::add(const bj::object& stored, const bj::object& plain) {
  for (const auto& member : stored) {
    const bj::value* open = plain.if_contains(member.key());
    if (open == nullptr) continue;
    if (model::is_sealed(member.value())) {
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
    add_text(percent_encoded(*text));
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

void Masker::mask(Error& error) const {
  mask(error.message);
  for (FieldError& detail : error.details) mask(detail.message);
}

void Masker::mask(bj::value& v) const {
  if (const bj::string* text = v.if_string()) {
    std::string masked(*text);
    mask(masked);
    v = masked;
  } else if (bj::object* object = v.if_object()) {
    for (auto& member : *object) mask(member.value());
  } else if (bj::array* items = v.if_array()) {
    for (bj::value& item : *items) mask(item);
  }
}

}  // namespace tidegate::secrets
