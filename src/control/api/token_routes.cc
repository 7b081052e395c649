#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/log.h"
#include "control/api/answer.h"
#include "control/api/directory.h"
#include "control/api/input.h"
#include "control/api/route.h"
#include "control/model/connection_json.h"
#include "control/model/text_field.h"
#include "control/secrets/tokens.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;

constexpr std::size_t kMaxWorkspaces = 1000;
// Each loss of a name to another server means that one of them has its token: no more than start
// at once.
constexpr int kNameTries = 1000;

using model::kBootstrap;

// Who made a server's own admin token: the configured one, which all servers share, or, followed by
// " of " and the place, one that is kept in a data folder.
std::string bootstrap_of(std::string_view kept_at) {
  return kept_at.empty() ? std::string(kBootstrap) : fmt::format("{} of {}", kBootstrap, kept_at);
}

Result<Response> list_tokens(const Call& call) {
  Query query(call.request);
  const store::Page page = query.page();
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(auto all, call.store().list_tokens());
  return answer_page(all, page, "tokens", query.wanted());
}

// Names or ids become ids.
void read_workspaces(const Call& call, json::Reader& r, model::Token& token) {
  const auto names = r.texts("workspaces", kMaxWorkspaces, {.min = 1, .max = 200});
  if (!names) return;
  if (names->empty()) {
    return r.error("workspaces", "is empty; name one, or leave it out for all workspaces");
  }
  for (std::size_t i = 0; i < names->size(); ++i) {
    const auto found = call.services.directory.workspace((*names)[i]);
    if (found) {
      token.workspaces.push_back((*found)->id);
    } else {
      r.error(fmt::format("workspaces[{}]", i), found.error().message);
    }
  }
}

Result<Response> create_token(const Call& call) {
  if (call.request.header("idempotency-key")) {
    return fail(Error{Code::Invalid,
                      "the Idempotency-Key header is not taken here",
                      "bad_idempotency_key",
                      {{"Idempotency-Key",
                        "a token's text is shown only once, so no answer can be repeated; leave "
                        "the header out: a second token of that name is refused",
                        std::nullopt}}});
  }
  TG_TRY(const auto body, body_object(call));
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  model::Token token;
  token.name = model::read_text(r, "name", {.required = true, .invented = true}).value_or("");
  // What such a token made would be taken for an admin token of an earlier start.
  if (token.name.starts_with(kBootstrap)) {
    r.error("name", "begins with \"bootstrap\", which is kept for servers; choose another");
  }
  const auto role = r.one_of("role", model::kRoleNames);
  if (!role && (!r.has("role") || body.at("role").is_null())) {
    r.error("role", "is missing; must be " + json::list_of(model::kRoleNames));
  }
  token.role = static_cast<model::Role>(role.value_or(0));
  read_workspaces(call, r, token);
  token.expires_at = r.time("expiresAt");
  TG_TRY(const Instant now, call.store().now());
  if (token.expires_at && *token.expires_at <= now) r.error("expiresAt", "is in the past");
  r.finish();
  TG_CHECK(refuse(std::move(errors), "the token is not valid; see details", "invalid_token"));

  const Secret text = secrets::new_token(call.services.rng);
  token.id = new_id<TokenId>(call.services.clock, call.services.rng);
  token.hash = secrets::hash_token(text.reveal());
  token.created_at = now;
  token.created_by = call.principal.name;
  TG_CHECK(call.store().create_token(token));
  boost::json::object data = model::to_json(token);
  data["token"] = text.reveal();  // shown this once; only its hash is kept
  return answer_created(std::move(data), token.revision, "/api/tokens/" + token.id.str(), false);
}

Result<model::Token> find(const Call& call) {
  TG_TRY(auto all, call.store().list_tokens());
  const auto it = std::ranges::find(all, call.id(), [](const auto& t) { return t.id.str(); });
  if (it != all.end()) return std::move(*it);
  return fail(Code::NotFound, fmt::format("there is no token '{}'", call.id()), "token_not_found");
}

Result<Response> get_token(const Call& call) {
  TG_TRY(const auto token, find(call));
  return answer_projected(call, model::to_json(token), token.revision);
}

Result<Response> delete_token(const Call& call) {
  const TokenId id(call.id());
  if (id == call.principal.token) {
    return fail(Code::Conflict, "this request is made with that token; delete it with another one",
                "token_in_use");
  }
  TG_TRY(const auto revision, if_match(call.request));
  TG_TRY(const auto token, find(call));
  if (revision && *revision != token.revision) {
    return fail(Code::PreconditionFailed, "the token changed meanwhile; read it again",
                "revision_mismatch");
  }
  TG_CHECK(call.store().delete_token(id));
  return answer(boost::json::object{{"id", id.str()}});
}

// Another server may still be configured with it, so it is not for this one to revoke.
Status warn_of_configured(store::Store& store) {
  TG_TRY(const auto all, store.list_tokens());
  const auto it = std::ranges::find(all, kBootstrap, &model::Token::created_by);
  if (it == all.end()) return {};
  log::warn(
      "the admin token of an earlier configuration is still valid; when no server has it any "
      "more, revoke it: tidegate token revoke",
      {{"token", it->name}});
  return {};
}

Status make_admin_token(store::Store& store, const std::string& hash, const std::string& origin,
                        const Clock& clock, Rng& rng) {
  // Another one of the same place is not what the operator has now: it must not go on working.
  TG_TRY(const auto all, store.list_tokens());
  std::set<std::string> taken;
  for (const auto& t : all) {
    if (t.created_by != origin) {
      taken.insert(t.name);
    } else if (const Status gone = store.delete_token(t.id);
               !gone && gone.error().code != Code::NotFound) {
      return gone;
    }
  }
  model::Token token;
  token.id = new_id<TokenId>(clock, rng);
  // A person may have given the name to another token: that must not keep the server from starting.
  token.name = "admin";
  for (int n = 2; taken.contains(token.name); ++n) token.name = fmt::format("admin {}", n);
  token.hash = hash;
  token.role = model::Role::Admin;
  TG_TRY(token.created_at, store.now());
  token.created_by = origin;
  return store.create_token(token);
}

}  // namespace

Status ensure_admin_token(store::Store& store, std::string_view text, std::string_view kept_at,
                          const Clock& clock, Rng& rng) {
  const std::string hash = secrets::hash_token(text);
  if (!kept_at.empty()) TG_CHECK(warn_of_configured(store));
  TG_TRY(const auto known, store.find_token(hash));
  if (known) return {};
  for (int n = 1;; ++n) {
    Status made = make_admin_token(store, hash, bootstrap_of(kept_at), clock, rng);
    if (made || made.error().code != Code::Conflict || n == kNameTries) return made;
    // Another server that starts at the same time was faster: with this token, or with the name.
    TG_TRY(const auto now_known, store.find_token(hash));
    if (now_known) return {};
  }
}

std::vector<ApiRoute> token_routes() {
  return {
      {Method::Get, "/api/tokens", Access::Admin, Scope::Instance, list_tokens},
      {Method::Post, "/api/tokens", Access::Admin, Scope::Instance, create_token},
      {Method::Get, "/api/tokens/{id}", Access::Admin, Scope::Instance, get_token},
      {Method::Delete, "/api/tokens/{id}", Access::Admin, Scope::Instance, delete_token},
  };
}

}  // namespace tidegate::api
