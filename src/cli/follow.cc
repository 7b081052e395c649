#include "cli/follow.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "base/json.h"
#include "cli/output.h"
#include "cli/progress.h"

namespace tidegate::cli {
namespace {

bool ended(std::string_view state) { return state != "queued" && state != "running"; }

std::int64_t number_at(const boost::json::value& row, std::string_view path) {
  const auto* n = at_path(row, path).if_int64();
  return n ? *n : 0;
}

std::vector<ProgressRow> rows_of(const boost::json::value& run) {
  std::vector<ProgressRow> rows;
  if (const auto* progress = at_path(run, "progress").if_object()) {
    for (const auto& [entity, p] : *progress) {
      ProgressRow row{.entity = entity, .rows = number_at(p, "rowsRead")};
      if (at_path(p, "totalRows").is_int64()) row.total = number_at(p, "totalRows");
      rows.push_back(std::move(row));
    }
  }
  if (const auto* entities = at_path(run, "entities").if_array()) {
    for (const auto& e : *entities) {
      const std::string name = text_at(e, "entity");
      auto it = std::ranges::find(rows, name, &ProgressRow::entity);
      if (it == rows.end()) it = rows.insert(rows.end(), ProgressRow{.entity = name});
      it->rows = number_at(e, "rowsRead");
      it->outcome = text_at(e, "outcome");
    }
  }
  return rows;
}

void print_line(const Io& io, const boost::json::value& line) {
  const std::string entity = text_at(line, "entity");
  const std::string level = text_at(line, "level");
  const Color color = level == "error" ? Color::Red : level == "warn" ? Color::Yellow : Color::Dim;
  io.out(fmt::format("{} {} {}{}\n", one_line(text_at(line, "at")),
                     paint(io, color, fmt::format("{:5}", one_line(level))),
                     entity.empty() ? "" : one_line(entity) + ": ",
                     one_line(text_at(line, "message"))));
}

// One line for each change of the run's state, where no bars are drawn: a run may wait for hours
// between two attempts.
class StateLines {
 public:
  explicit StateLines(const Io& io) : io_(io) {}

  void see(const boost::json::value& run) {
    if (io_.err_is_terminal) return;
    std::string line = text_at(run, "state");
    const std::int64_t attempt = number_at(run, "attempt");
    if (line == "running") line += fmt::format(", attempt {}", attempt);
    if (line == "queued" && attempt > 0) {
      const std::string error = text_at(run, "error");
      line = fmt::format("attempt {} {}, the next one is not before {}{}{}", attempt,
                         error.empty() ? "was handed back" : "failed", text_at(run, "notBefore"),
                         error.empty() ? "" : ": ", error);
    }
    if (line == last_) return;
    io_.err(one_line(line) + "\n");
    last_ = std::move(line);
  }

 private:
  const Io& io_;
  std::string last_;
};

}  // namespace

Result<boost::json::object> wait_for_run(ApiClient& api, const std::string& run_id) {
  api.context().catch_interrupts();
  ProgressView view(api.context().io);
  StateLines lines(api.context().io);
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    // A server that is busy for a while is worth waiting for: so is the run.
    auto run = api.call({.path = "/runs/" + run_id, .body = nullptr, .timeout = kConnectorTime});
    const bool interrupted = api.context().interrupted && api.context().interrupted->load();
    if (interrupted || (!run && run.error().code == Code::Cancelled)) {
      return fail(
          Code::Cancelled,
          fmt::format(
              "interrupted; the run goes on. Look at it with `tidegate runs get {0}`, stop it with "
              "`tidegate runs cancel {0}`",
              run_id));
    }
    if (!run) return std::unexpected(run.error());
    if (!run->is_object()) return fail(Code::Internal, "the server answered no run");
    const auto elapsed = std::chrono::steady_clock::now() - start;
    view.draw(rows_of(*run), std::chrono::duration_cast<std::chrono::milliseconds>(elapsed));
    lines.see(*run);
    if (ended(text_at(*run, "state"))) return std::move(run->get_object());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // ends early on a signal
  }
}

Status print_log(ApiClient& api, const std::string& run_id, bool follow) {
  const std::string path = "/runs/" + run_id + "/logs";
  if (!follow) {
    TG_TRY(const boost::json::array lines, api.list(path));
    for (const auto& line : lines) print_line(api.context().io, line);
    return {};
  }
  api.context().catch_interrupts();
  std::string last_id;
  while (true) {
    bool done = false;
    TG_CHECK(api.events(path, last_id, [&](const ApiClient::Event& event) {
      if (!event.id.empty()) last_id = event.id;
      if (event.event == "end") {
        done = true;
        return false;
      }
      if (const auto line = json::parse(event.data)) print_line(api.context().io, *line);
      return true;
    }));
    if (done) return {};
    TG_TRY(const boost::json::value run, api.call({.path = "/runs/" + run_id, .body = nullptr}));
    if (ended(text_at(run, "state"))) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

int exit_code_of(const boost::json::object& run) {
  const std::string state = text_at(run, "state");
  return state == "succeeded" ? 0 : state == "cancelled" ? traits(Code::Cancelled).exit_code : 1;
}

}  // namespace tidegate::cli
