#include "control/api/merge_patch.h"

#include <boost/json/value.hpp>

namespace tidegate::api {

void merge_patch(boost::json::object& target, const boost::json::object& patch) {
  for (const auto& member : patch) {
    if (member.value().is_null()) {
      target.erase(member.key());
      continue;
    }
    boost::json::value& slot = target[member.key()];
    if (!member.value().is_object()) {
      slot = member.value();
      continue;
    }
    if (!slot.is_object()) slot = boost::json::object{};
    merge_patch(slot.get_object(), member.value().get_object());
  }
}

}  // namespace tidegate::api
