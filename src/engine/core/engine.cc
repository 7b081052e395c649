#include "engine/core/engine.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "base/json.h"
#include "engine/core/dry_run.h"
#include "engine/core/entity_run.h"
#include "engine/core/names.h"
#include "engine/core/outcome.h"
#include "engine/core/overlap.h"
#include "engine/core/schema.h"
#include "engine/core/selection.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

namespace bj = boost::json;
using protocol::EntityOutcome;
using protocol::EntityResult;
using protocol::RunResult;

Result<bj::value> spec_reply(std::span<const Connector* const> connectors) {
  bj::array list;
  for (const Connector* c : connectors) {
    bj::array roles;
    if (c->make_source != nullptr) roles.emplace_back("source");
    if (c->make_destination != nullptr) roles.emplace_back("destination");
    TG_TRY(bj::value spec, json::parse(c->spec));
    list.push_back(bj::object{{"name", c->name},
                              {"title", c->title},
                              {"roles", std::move(roles)},
                              {"spec", std::move(spec)}});
  }
  return bj::object{{"connectors", std::move(list)}};
}

Result<std::unique_ptr<Source>> make_source(std::span<const Connector* const> connectors,
                                            const protocol::Endpoint& endpoint,
                                            const Context& context) {
  TG_TRY(const Connector* c, find_connector(connectors, endpoint.type));
  if (c->make_source == nullptr) {
    return fail(Code::Invalid,
                fmt::format("'{}' cannot be a data source, only a destination", c->name));
  }
  return c->make_source(endpoint.config, context);
}

Result<std::unique_ptr<Destination>> make_destination(std::span<const Connector* const> connectors,
                                                      const protocol::Endpoint& endpoint,
                                                      const Context& context) {
  TG_TRY(const Connector* c, find_connector(connectors, endpoint.type));
  if (c->make_destination == nullptr) {
    return fail(Code::Invalid,
                fmt::format("'{}' cannot be a destination, only a data source", c->name));
  }
  return c->make_destination(endpoint.config, context);
}

RunResult answer_check(const protocol::Request& request,
                       std::span<const Connector* const> connectors, const Context& context) {
  const auto check = [&]() -> Status {
    if (request.source) {
      TG_TRY(const auto source, make_source(connectors, *request.source, context));
      return source->check();
    }
    TG_TRY(const auto destination, make_destination(connectors, *request.destination, context));
    return destination->check();
  };
  const Status status = check();
  // A check that finds a problem has done its work: the reply says so beside the error.
  RunResult r = status ? RunResult{} : failed(status.error());
  r.reply =
      bj::object{{"ok", status.has_value()},
                 {"message", status ? "works" : protocol::to_utf8(error_text(status.error()))}};
  return r;
}

// Also a column without any value: what it holds later may be one.
bool may_be_cursor(const arrow::DataType& type) {
  return type.id() == arrow::Type::NA || cursor_kind(type).has_value();
}

bj::object entity_json(const EntityInfo& e) {
  bj::array columns;
  for (const auto& field : e.schema->fields()) {
    columns.push_back(bj::object{{"name", protocol::to_utf8(field->name())},
                                 {"type", is_json(*field) ? "json" : field->type()->ToString()},
                                 {"title", type_words(*field)},
                                 {"cursor", may_be_cursor(*field->type())}});
  }
  bj::object o{{"name", protocol::to_utf8(e.name)},
               {"columns", std::move(columns)},
               {"primaryKey", protocol::to_array(e.primary_key)},
               {"cursorCandidates", protocol::to_array(e.cursor_candidates)},
               {"keyCandidates", protocol::to_array(e.key_candidates)}};
  if (e.rows) o["rows"] = *e.rows;
  if (!e.warnings.empty()) o["warnings"] = protocol::to_array(e.warnings);
  return o;
}

RunResult answer_discover(const protocol::Request& request,
                          std::span<const Connector* const> connectors, const Context& context) {
  auto source = make_source(connectors, *request.source, context);
  if (!source) return failed(source.error());
  auto catalog = (*source)->sample();
  if (!catalog) return failed(catalog.error());
  refuse_bad_names(*catalog);
  bj::array entities;
  for (const auto& e : catalog->entities) entities.push_back(entity_json(e));
  for (const auto& e : catalog->bad) {
    entities.push_back(bj::object{{"name", protocol::to_utf8(e.name)},
                                  {"error", protocol::to_utf8(error_text(e.error))}});
  }
  for (const auto& name : catalog->others) {
    entities.push_back(bj::object{{"name", protocol::to_utf8(name)}});
  }
  RunResult r;
  r.reply = bj::object{{"entities", std::move(entities)}};
  return r;
}

// A run has two configurations.
Error of_role(Error error, std::string_view role) {
  if (error.reason != "bad_config") return error;
  for (FieldError& d : error.details) {
    const std::string_view field = d.field;
    d.field =
        fmt::format("{}.config.{}", role, field.starts_with("config.") ? field.substr(7) : field);
  }
  return error;
}

EntityResult not_started(const std::string& name, const Error& why) {
  EntityResult r;
  r.entity = name;
  r.outcome = EntityOutcome::Cancelled;
  r.error_kind = error_kind(why);
  r.error = why.message;
  return r;
}

class Run {
 public:
  Run(const protocol::Request& request, const Context& context, LeaseGuard& lease,
      EventSink& events, const EngineOptions& options)
      : request_(request), context_(context), lease_(lease), events_(events), options_(options) {
    context_.fence_found = [this](Fence found) {
      const std::scoped_lock lock(mutex_);
      fence_found_ = std::max(fence_found_.value_or(found), found);
    };
  }

  RunResult execute(std::span<const Connector* const> connectors) {
    auto source = make_source(connectors, *request_.source, context_);
    auto destination = make_destination(connectors, *request_.destination, context_);
    if (!source) return failed(of_role(source.error(), "source"));
    if (!destination) return failed(of_role(destination.error(), "destination"));
    auto catalog = (*source)->discover(wanted_by(request_.run));
    if (!catalog) return failed(catalog.error());
    refuse_bad_names(*catalog);
    auto selected = select_entities(*catalog, request_.run);
    if (selected.empty()) {
      return failed({Code::Invalid,
                     "the source has no entity to read; check its configuration",
                     "no_entities",
                     {}});
    }
    if (const Status apart = keep_apart(**source, **destination, request_.run, selected); !apart) {
      return failed(apart.error());
    }
    for (const Selected& s : selected) {
      if (s.info != nullptr) events_.send(protocol::EntityPlanned{s.name, s.info->rows});
    }
    if (request_.run.dry_run)
      return dry_run(request_.run, selected, **source, **destination, context_);
    return run_entities(selected, **source, **destination);
  }

 private:
  RunResult run_entities(const std::vector<Selected>& selected, Source& source,
                         Destination& destination) {
    RunEnvironment env{.spec = request_.run,
                       .source = source,
                       .destination = destination,
                       .lease = lease_,
                       .events = events_,
                       .context = context_,
                       .checkpoint_rows = options_.checkpoint_rows};
    RunResult r;
    std::optional<Error> ended;
    for (const Selected& s : selected) {
      if (ended) {
        r.entities.push_back(not_started(s.name, *ended));
      } else if (s.info == nullptr) {
        r.entities.push_back(s.error ? failed_entity(s.name, *s.error)
                                     : skipped_entity(s.name, s.note));
      } else if (skipped_without_columns(*s.info, selected.size())) {
        r.entities.push_back(without_columns(*s.info));
      } else {
        r.entities.push_back(EntityRun(env, *s.info).execute());
      }
      const EntityResult& last = r.entities.back();
      // Cancelled and fenced end the run; any other failure is one entity's own.
      if (!ended && last.error_kind &&
          (*last.error_kind == "cancelled" || *last.error_kind == "fenced")) {
        const Status why = lease_.check();
        ended = Error{*last.error_kind == "fenced" ? Code::Fenced : Code::Cancelled,
                      why ? *last.error : why.error().message,
                      {},
                      {}};
      }
    }
    summarize(r);
    const std::scoped_lock lock(mutex_);
    r.fence_found = fence_found_;
    return r;
  }

  const protocol::Request& request_;
  Context context_;
  LeaseGuard& lease_;
  EventSink& events_;
  const EngineOptions& options_;
  std::mutex mutex_;
  std::optional<Fence> fence_found_;
};

}  // namespace

RunResult answer(const protocol::Request& request, std::span<const Connector* const> connectors,
                 const Context& context, LeaseGuard& lease, EventSink& events,
                 const EngineOptions& options) {
  try {
    switch (request.kind) {
      case protocol::RequestKind::Spec: {
        auto reply = spec_reply(connectors);
        if (!reply) return failed(reply.error());
        RunResult r;
        r.reply = std::move(*reply);
        return r;
      }
      case protocol::RequestKind::Check:
        return answer_check(request, connectors, context);
      case protocol::RequestKind::Discover:
        return answer_discover(request, connectors, context);
      case protocol::RequestKind::Run:
        return Run(request, context, lease, events, options).execute(connectors);
    }
  } catch (const std::exception& e) {
    return failed({Code::Internal, fmt::format("unexpected failure: {}", e.what()), {}, {}});
  }
  return failed({Code::Internal, "unknown request", {}, {}});
}

}  // namespace tidegate::engine
