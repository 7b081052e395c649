// The words and cursors of rules.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "control/store/rules.h"

namespace tidegate::store::rules {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

int hex_digit(char c) {
  const auto pos = kHex.find(c);
  return pos == std::string_view::npos ? -1 : static_cast<int>(pos);
}

std::unexpected<Error> bad_cursor() {
  return fail(Code::Malformed,
              "cursor is not one that this list gave out; start again without a cursor",
              "bad_cursor");
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view kind_words(model::ConnectionKind kind) {
  return kind == model::ConnectionKind::Source ? "data source" : "destination";
}

}  // namespace

std::size_t page_limit(const Page& page) { return std::clamp<std::size_t>(page.limit, 1, 1000); }

// kind and parts, each ended by a zero byte, in hex: opaque, safe in a URL, needs no escaping.
std::string encode_cursor(std::string_view kind, std::initializer_list<std::string_view> parts) {
  std::string raw(kind);
  raw.push_back('\0');
  for (const auto part : parts) raw.append(part).push_back('\0');
  std::string text;
  for (const char c : raw) {
    text.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
    text.push_back(kHex[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

std::string name_cursor(std::string_view kind, const std::string& name, const std::string& id) {
  return encode_cursor(kind, {name, id});
}
std::string run_cursor(const model::Run& last) {
  return encode_cursor("runs", {std::to_string(to_ms(last.created_at)), last.id.str()});
}
std::string slot_cursor(const model::LedgerEntry& last) {
  return encode_cursor("slots", {std::to_string(to_ms(last.first))});
}

Result<std::optional<std::vector<std::string>>> decode_cursor(const Page& page,
                                                              std::string_view kind,
                                                              std::size_t parts) {
  if (!page.cursor) return std::nullopt;
  const std::string& text = *page.cursor;
  if (text.size() % 2 != 0 || text.empty() || text.size() > 4096) return bad_cursor();
  std::vector<std::string> found(1);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return bad_cursor();
    const char c = static_cast<char>(high * 16 + low);
    if (c == '\0') {
      found.emplace_back();
    } else {
      found.back().push_back(c);
    }
  }
  if (!found.back().empty() || found.size() != parts + 2 || found.front() != kind) {
    return bad_cursor();
  }
  found.pop_back();
  found.erase(found.begin());
  return found;
}

Result<std::int64_t> cursor_int(const std::string& part) {
  std::int64_t v = 0;
  const auto [end, ec] = std::from_chars(part.data(), part.data() + part.size(), v);
  if (ec != std::errc() || end != part.data() + part.size()) return bad_cursor();
  return v;
}

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

std::unexpected<Error> job_not_found(const JobId& id) {
  return fail(Code::NotFound, fmt::format("there is no job '{}' in this workspace", id.str()),
              "job_not_found");
}
std::unexpected<Error> run_not_found(const RunId& id) {
  return fail(Code::NotFound,
              fmt::format("there is no run '{}' in this workspace; it may have been removed by "
                          "retention",
                          id.str()),
              "run_not_found");
}
std::unexpected<Error> workspace_not_found(const std::string& id) {
  return fail(Code::NotFound, fmt::format("there is no workspace '{}'", id), "workspace_not_found");
}
std::unexpected<Error> connection_not_found(model::ConnectionKind kind, const ConnectionId& id) {
  return fail(
      Code::NotFound,
      fmt::format("there is no {} '{}' in this workspace", kind_words(kind), id.str()),
      kind == model::ConnectionKind::Source ? "data_source_not_found" : "destination_not_found");
}
std::unexpected<Error> token_not_found(const TokenId& id) {
  return fail(Code::NotFound, fmt::format("there is no token '{}'", id.str()), "token_not_found");
}
std::unexpected<Error> token_exists() {
  return fail(Code::Conflict, "the token exists already and cannot be shown again", "token_exists");
}
std::unexpected<Error> connection_name_taken(const model::Connection& connection) {
  return name_taken(kind_words(connection.kind), connection.name);
}
std::unexpected<Error> name_taken(std::string_view what, const std::string& name) {
  return fail(Code::Conflict,
              fmt::format("there is already a {} named '{}'; choose another name", what, name),
              "name_taken");
}
std::unexpected<Error> stale_revision(std::int64_t current) {
  return fail(Code::PreconditionFailed,
              fmt::format("changed meanwhile (now revision {}); read it again, then repeat the "
                          "change",
                          current),
              "revision_mismatch");
}
std::unexpected<Error> setting_changed(const std::string& name) {
  return fail(Code::PreconditionFailed,
              fmt::format("the setting '{}' of the store is not what it was; read it again", name),
              "setting_changed");
}
std::unexpected<Error> idempotency_mismatch() {
  return fail(Code::Conflict,
              "this Idempotency-Key was used with another body in the last 24 hours; use a new key",
              "idempotency_mismatch");
}
std::unexpected<Error> run_active(const RunId& active) {
  return std::unexpected(
      Error{Code::Conflict,
            fmt::format("the job has an active run ({}); wait for it or cancel it", active.str()),
            "run_active",
            {{"runId", active.str(), std::nullopt}}});
}
std::unexpected<Error> slots_moved() {
  return fail(Code::Conflict,
              "a scheduled time of the job was planned while its schedule was changed; send the "
              "change again",
              "slots_moved");
}

std::unexpected<Error> run_ended(const model::Run& run) {
  return fail(Code::Conflict,
              fmt::format("the run has ended already ({})",
                          model::kRunStateNames[static_cast<std::size_t>(run.state)]),
              "run_ended");
}
std::unexpected<Error> connection_in_use(const std::vector<std::string>& jobs) {
  return fail(Code::Conflict,
              fmt::format("in use by {}; delete or change {} first", fmt::join(jobs, ", "),
                          jobs.size() == 1 ? "it" : "them"),
              "connection_in_use");
}
std::unexpected<Error> workspace_not_empty() {
  return fail(Code::Conflict,
              "the workspace still has jobs, data sources or destinations; delete them first",
              "workspace_not_empty");
}
std::unexpected<Error> leader_fenced() {
  return fail(Code::Fenced, "another worker is the leader now; this one stops planning");
}
std::unexpected<Error> run_fenced(const RunId& id) {
  return fail(
      Code::Fenced,
      fmt::format("run {} is no longer held under this fence; its attempt must stop", id.str()));
}

Status check_references(bool source_ok, bool destination_ok, const model::JobSpec& spec) {
  if (source_ok && destination_ok) return {};
  Error error{Code::Invalid, "the job refers to something that does not exist", "invalid_job", {}};
  if (!source_ok) {
    error.details.push_back(
        {"dataSourceId",
         fmt::format("there is no data source '{}' in this workspace; create it first",
                     spec.source_id.str()),
         std::nullopt});
  }
  if (!destination_ok) {
    error.details.push_back(
        {"destinationDatabaseId",
         fmt::format("there is no destination '{}' in this workspace; create it first",
                     spec.destination_id.str()),
         std::nullopt});
  }
  return fail(std::move(error));
}

}  // namespace tidegate::store::rules
