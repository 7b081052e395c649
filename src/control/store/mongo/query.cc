#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_plain(char c) {
  return (c >= '0' && c <= '9') || c == '_' || c == ' ' || static_cast<unsigned char>(c) >= 0x80;
}

}  // namespace

bj::object containing(std::string_view part) {
  std::string pattern;
  for (const char c : part) {
    if (is_lower(c) || is_upper(c)) {
      const char other = static_cast<char>(c ^ 0x20);
      pattern += {'[', c, other, ']'};
    } else if (c == '\0') {
      pattern += "\\x00";  // a NUL itself is refused
    } else if (is_plain(c)) {
      pattern.push_back(c);
    } else {
      pattern += {'\\', c};
    }
  }
  return {{"$regex", pattern}};
}

void require(bj::object& filter, bj::object condition) {
  bj::array& all =
      filter["$and"].is_array() ? filter["$and"].get_array() : filter["$and"].emplace_array();
  all.push_back(std::move(condition));
}

bj::object beyond(std::string_view first, const bj::value& at, std::string_view second,
                  const bj::value& id, bool ascending) {
  const std::string_view than = ascending ? "$gt" : "$lt";
  const bj::object later{{first, bj::object{{than, at}}}};
  const bj::object same{{first, at}, {second, bj::object{{than, id}}}};
  return {{"$or", bj::array{later, same}}};
}

}  // namespace tidegate::store::mongo
