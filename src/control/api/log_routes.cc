// A run's log: a list, text, or server-sent events that follow it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/directory.h"
#include "control/api/input.h"
#include "control/api/log_streams.h"
#include "control/api/route.h"
#include "control/api/run_story.h"
#include "control/model/run_json.h"
#include "control/store/rules.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;

constexpr std::size_t kBatch = 200;       // lines of one pull
constexpr std::size_t kTextLines = 1000;  // lines read at a time for the plain text
constexpr std::string_view kCursor = "log";
constexpr std::int64_t kBeforeAll = kOpeningSeq - 1;

// The lines with seq > after: the opening, what the run wrote, and, when it has ended, the closing.
// REQUIRES: `run` was read before this: no line is written after a run has ended.
Result<std::vector<model::RunLogLine>> read_story(store::Store& store, const model::Run& run,
                                                  std::int64_t after, std::size_t limit) {
  std::vector<model::RunLogLine> lines;
  if (after < kOpeningSeq) lines = opening_lines(run);
  if (after < kClosingSeq) {
    TG_TRY(auto stored, store.read_log(run.id, std::max(after, kOpeningSeq), limit));
    lines.insert(lines.end(), std::make_move_iterator(stored.begin()),
                 std::make_move_iterator(stored.end()));
  }
  if (lines.size() < limit) {
    for (model::RunLogLine& line : closing_lines(run)) {
      if (line.seq > after) lines.push_back(std::move(line));
    }
  }
  if (lines.size() > limit) lines.resize(limit);
  return lines;
}

// Events `log` (data: a line as JSON, id: its seq) and at last `end` (data: the run).
class LogFollower final : public http::EventSource {
 public:
  LogFollower(const Call& call, RunId run, std::int64_t after)
      : services_(call.services),
        token_(call.principal.hash),
        workspace_(call.workspace),
        run_(std::move(run)),
        after_(after) {}
  ~LogFollower() override {
    if (stream_ != 0) services_.streams.remove(stream_);
  }
  void open(Wake wake) override { stream_ = services_.streams.add(run_, std::move(wake)); }

  std::optional<std::string> pull() override {
    if (ended_ || services_.streams.stopped()) return std::nullopt;
    // A stream may be open for hours: the right to it is looked at as for each request.
    if (const auto valid = services_.directory.still_valid(token_); valid && !*valid) {
      return std::nullopt;
    }
    // The state is read before the lines: no line is written after a run has ended.
    const auto run = services_.store.get_run(workspace_, run_);
    if (!run && run.error().code == Code::NotFound) return std::nullopt;  // removed by retention
    // A store that is away for a moment: the next wake-up tries again.
    if (!run) return std::string();
    const auto lines = read_story(services_.store, *run, after_, kBatch);
    // What cannot be read does not get better by waiting.
    if (!lines && lines.error().code != Code::Unavailable) return std::nullopt;
    if (!lines) return std::string();
    std::string out;
    for (const auto& line : *lines) {
      after_ = line.seq;
      out += http::format_event(std::to_string(line.seq), "log", json::write(model::to_json(line)));
    }
    if (lines->empty() && model::is_terminal(run->state)) {
      ended_ = true;
      out += http::format_event("", "end", json::write(model::to_json(*run)));
    }
    return out;
  }

 private:
  Services& services_;
  const std::string token_;  // its hash
  const WorkspaceId workspace_;
  const RunId run_;
  std::int64_t after_;
  std::uint64_t stream_ = 0;
  bool ended_ = false;
};

bool accepts(const http::Request& request, std::string_view media_type) {
  const auto accept = request.header("accept");
  return accept && accept->find(media_type) != std::string_view::npos;
}

Result<std::int64_t> last_event_id(const http::Request& request) {
  const auto header = request.header("last-event-id");
  if (!header || header->empty()) return kBeforeAll;
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(header->data(), header->data() + header->size(), n);
  if (ec == std::errc() && end == header->data() + header->size() && n >= 0) return n;
  return fail(
      Error{Code::Invalid,
            "the Last-Event-ID header is not valid",
            "bad_last_event_id",
            {{"Last-Event-ID", "must be the id of an event of this stream", std::nullopt}}});
}

Result<Response> text_log(const Call& call, const model::Run& run) {
  constexpr std::string_view kLevels[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
  Response response;
  response.content_type = "text/plain; charset=utf-8";
  std::int64_t after = kBeforeAll;
  while (true) {
    TG_TRY(const auto lines, read_story(call.store(), run, after, kTextLines));
    for (const auto& line : lines) {
      after = line.seq;
      std::string message = line.message;
      std::ranges::replace(message, '\n', ' ');
      response.body += fmt::format("{} {} {}{}\n", format_utc(line.at),
                                   kLevels[static_cast<std::size_t>(line.level)],
                                   line.entity.empty() ? "" : line.entity + ": ", message);
    }
    if (lines.size() < kTextLines) return response;
  }
}

Result<Response> list_log(const Call& call, const model::Run& run, const store::Page& page) {
  std::int64_t after = kBeforeAll;
  TG_TRY(const auto cursor, store::rules::decode_cursor(page, kCursor, 1));
  if (cursor) {
    TG_TRY(after, store::rules::cursor_int((*cursor)[0]));
  }
  TG_TRY(auto lines, read_story(call.store(), run, after, page.limit + 1));
  std::optional<std::string> next;
  if (lines.size() > page.limit) {
    lines.resize(page.limit);
    next = store::rules::encode_cursor(kCursor, {std::to_string(lines.back().seq)});
  }
  boost::json::array items;
  for (const auto& line : lines) items.push_back(model::to_json(line));
  boost::json::object body{{"success", true}, {"data", std::move(items)}};
  body["nextCursor"] = next ? boost::json::value(*next) : boost::json::value(nullptr);
  Response response;
  response.body = json::write(body);
  return response;
}

Result<Response> get_log(const Call& call) {
  Query query(call.request);
  const store::Page page = query.page();
  TG_CHECK(query.finish());
  TG_TRY(const auto run, call.store().get_run(call.workspace, RunId(call.id())));
  TG_TRY(const std::int64_t after, last_event_id(call.request));
  if (accepts(call.request, "text/event-stream")) {
    Response response;
    response.events = std::make_unique<LogFollower>(call, run.id, after);
    return response;
  }
  if (accepts(call.request, "text/plain")) return text_log(call, run);
  return list_log(call, run, page);
}

}  // namespace

std::vector<ApiRoute> log_routes() {
  return {{Method::Get, "/api/workspaces/{ws}/runs/{id}/logs", Access::Viewer, Scope::Workspace,
           get_log}};
}

}  // namespace tidegate::api
