#include "control/api/api.h"

#include <utility>

#include "control/api/directory.h"
#include "control/api/gate.h"
#include "control/api/job_bodies.h"
#include "control/api/log_streams.h"
#include "control/api/route.h"
#include "control/api/store_time.h"

namespace tidegate::api {

struct Api::Impl {
  Impl(ApiDeps d, ApiOptions o)
      : options(std::move(o)),
        streams(d.store),
        time(d.store, d.clock),
        directory(d.store, d.clock, time),
        services{d.store, d.engine, d.keys,    d.clock,    d.rng,
                 options, streams,  directory, job_bodies, time} {}

  const ApiOptions options;
  LogStreams streams;
  StoreTime time;
  Directory directory;
  JobBodies job_bodies;
  Services services;
};

Api::Api(ApiDeps deps, ApiOptions options)
    : impl_(std::make_unique<Impl>(deps, std::move(options))) {}
Api::~Api() { stop(); }

Result<http::Router> Api::router() {
  std::vector<http::Route> routes;
  for (const ApiRoute& route : all_routes()) routes.push_back(guarded(route, impl_->services));
  return http::Router::create(std::move(routes));
}

void Api::stop() { impl_->streams.stop(); }

std::vector<ApiRoute> all_routes() {
  std::vector<ApiRoute> all;
  for (auto* part :
       {system_routes, workspace_routes, token_routes, connector_routes, connection_routes,
        job_routes, job_action_routes, run_routes, log_routes, cron_routes, worker_routes}) {
    for (ApiRoute& route : part()) all.push_back(std::move(route));
  }
  return all;
}

}  // namespace tidegate::api
