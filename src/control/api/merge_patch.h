#pragma once
// JSON Merge Patch (RFC 7396).

#include <boost/json/object.hpp>

namespace tidegate::api {

// Applies `patch` to `target`: null removes a member, objects merge, everything else replaces.
// REQUIRES: bounded depth, which json::parse sees to.
void merge_patch(boost::json::object& target, const boost::json::object& patch);
// The same for a resource whose `target` has every member it knows: null for another one stays, so
// that whoever reads the result finds the unknown name.
void patch_resource(boost::json::object& target, const boost::json::object& patch);

}  // namespace tidegate::api
