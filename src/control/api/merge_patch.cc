#include "control/api/merge_patch.h"

#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <vector>

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

void patch_resource(boost::json::object& target, const boost::json::object& patch) {
  std::vector<boost::json::string> unknown;
  for (const auto& member : patch) {
    if (member.value().is_null() && !target.contains(member.key()))
      unknown.emplace_back(member.key());
  }
  merge_patch(target, patch);
  for (const auto& name : unknown) target[name] = nullptr;
}

}  // namespace tidegate::api
