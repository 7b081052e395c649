#include "control/api/gate.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/api/input.h"
#include "control/api/store_time.h"

namespace tidegate::api {
namespace {

constexpr std::string_view kScheme = "bearer";

std::unexpected<Error> unauthorized(std::string message) {
  return fail(Code::Unauthorized, std::move(message), "unauthorized");
}

// The token of `Authorization: Bearer TOKEN` (RFC 6750 §2.1); the scheme compares without case.
Result<std::string_view> bearer(const http::Request& request) {
  const auto header = request.header("authorization");
  if (!header)
    return unauthorized("no token was sent; add the header: Authorization: Bearer TOKEN");
  const std::size_t space = header->find(' ');
  std::string scheme(header->substr(0, space));
  std::ranges::transform(scheme, scheme.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  if (scheme != kScheme || space == std::string_view::npos) {
    return unauthorized("the Authorization header is not of the form: Bearer TOKEN");
  }
  const std::size_t first = header->find_first_not_of(' ', space);
  if (first == std::string_view::npos) return unauthorized("the Authorization header has no token");
  return header->substr(first);
}

Result<Principal> authenticate(Services& s, const http::Request& request) {
  TG_TRY(const std::string_view text, bearer(request));
  TG_TRY(const auto token, s.directory.token(text));
  if (!token) return unauthorized("the token is not known; ask an admin for a new one");
  if (token->expires_at) {
    TG_TRY(const Instant now, s.time.now());
    if (*token->expires_at <= now) {
      return unauthorized("the token has expired; ask an admin for a new one");
    }
  }
  return Principal{token->id, token->hash, token->name, token->role, token->workspaces};
}

// Access::Viewer is Role::Viewer, and so on.
model::Role least_role(Access access) {
  return static_cast<model::Role>(static_cast<int>(access) - static_cast<int>(Access::Viewer));
}

std::string_view role_name(model::Role role) {
  return model::kRoleNames[static_cast<std::size_t>(role)];
}

Status check_role(const Principal& p, Access access) {
  const model::Role least = least_role(access);
  if (p.role >= least) return {};
  return fail(Code::Forbidden,
              fmt::format("token '{}' has the role {}; this needs {}", p.name, role_name(p.role),
                          role_name(least)),
              "role_too_low");
}

// A limited token gets one answer for a workspace of others and for one that does not exist.
Result<WorkspaceId> find_workspace(Services& s, const Principal& p, std::string_view id_or_name) {
  auto found = s.directory.workspace(id_or_name);
  if (found && p.reaches((*found)->id)) return (*found)->id;
  if (!found && (p.workspaces.empty() || found.error().code != Code::NotFound)) {
    return std::unexpected(std::move(found).error());
  }
  return fail(
      Code::Forbidden,
      fmt::format("token '{}' is limited to other workspaces than '{}'", p.name, id_or_name),
      "workspace_forbidden");
}

// Whether a write is only to be tried. It takes no other parameter: one that is ignored would let a
// caller believe that it acted.
Result<bool> read_dry_run(const ApiRoute& route, const http::Request& request) {
  if (route.method == http::Method::Get) return false;
  Query query(request);
  const bool dry_run = route.has_dry_run && query.boolean("dryRun").value_or(false);
  TG_CHECK(query.finish());
  return dry_run;
}

// What is written into a store that a restore fills may be lost, or keep the restore from its end.
Status check_takes_changes(Services& s) {
  Status whole = s.store.check_whole();
  if (!whole && whole.error().reason == "restore_unfinished") {
    whole.error().code = Code::Unavailable;
  }
  return whole;
}

Result<http::Response> serve(const ApiRoute& route, Services& s, const http::Request& request) {
  if (route.access == Access::Public) {
    const Principal nobody;
    const WorkspaceId none;
    return route.action(Call{s, request, nobody, none});
  }
  TG_TRY(const Principal principal, authenticate(s, request));
  TG_CHECK(check_role(principal, route.access));
  WorkspaceId workspace;
  if (route.scope == Scope::Workspace) {
    TG_TRY(workspace, find_workspace(s, principal, request.param("ws")));
  }
  if (route.scope == Scope::Instance && !principal.workspaces.empty()) {
    return fail(Code::Forbidden,
                fmt::format("token '{}' is limited to some workspaces; this needs a token for all",
                            principal.name),
                "workspace_forbidden");
  }
  TG_TRY(const bool dry_run, read_dry_run(route, request));
  if (route.method != http::Method::Get) TG_CHECK(check_takes_changes(s));
  return route.action(Call{s, request, principal, workspace, dry_run});
}

// The look-ups of token and workspace read the store, too.
http::Run run_of(RunOn run_on, const store::Store& store) {
  const bool on_io =
      run_on == RunOn::IoThread || (run_on == RunOn::StoreRead && store.capabilities().local_reads);
  return on_io ? http::Run::Inline : http::Run::Pool;
}

}  // namespace

bool Principal::reaches(const WorkspaceId& ws) const {
  return workspaces.empty() || std::ranges::find(workspaces, ws) != workspaces.end();
}

http::Route guarded(const ApiRoute& route, Services& services) {
  return {route.method, std::string(route.pattern),
          [route, &services](const http::Request& request) {
            auto response = serve(route, services, request);
            // To the store it is a conflict; to the client, a key it should not have used again.
            if (!response && response.error().reason == "idempotency_mismatch") {
              response.error().code = Code::Invalid;
            }
            return response;
          },
          run_of(route.run_on, services.store)};
}

}  // namespace tidegate::api
