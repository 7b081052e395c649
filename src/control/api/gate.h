#pragma once
// The one place that decides who may call a route.

#include "control/api/directory.h"
#include "control/api/route.h"

namespace tidegate::api {

// Turns a declared route into one of the server: finds the token and the workspace, refuses
// (Unauthorized, Forbidden, NotFound) or calls the action. REQUIRES: services outlives the result.
http::Route guarded(const ApiRoute& route, Services& services);

}  // namespace tidegate::api
