#include "app/sync/reporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string_view>

#include "base/utf8.h"
#include "cli/output.h"

namespace tidegate::app {
namespace {

// What a dry run shows of an entity takes the place of its outcome: "skipped" is one that it would
// not copy.
bool previewed(const protocol::RunResult& result, std::string_view entity) {
  const auto* reply = result.reply.if_object();
  const auto* entities = reply != nullptr ? reply->if_contains("entities") : nullptr;
  return entities != nullptr &&
         std::ranges::any_of(entities->get_array(), [&](const boost::json::value& e) {
           return e.at("entity").get_string() == entity;
         });
}

}  // namespace

SyncReporter::SyncReporter(const cli::Io& io, bool json)
    : io_(io), json_(json), view_(io), start_(std::chrono::steady_clock::now()) {}

cli::ProgressRow& SyncReporter::row(const std::string& entity) {
  const auto it = std::ranges::find(rows_, entity, &cli::ProgressRow::entity);
  if (it != rows_.end()) return *it;
  return rows_.emplace_back(cli::ProgressRow{.entity = entity});
}

std::chrono::milliseconds SyncReporter::elapsed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start_);
}

void SyncReporter::on_event(const protocol::Event& event) {
  if (const auto* e = std::get_if<protocol::EntityPlanned>(&event)) {
    row(e->entity).total = e->total_rows;
  } else if (const auto* p = std::get_if<protocol::Progress>(&event)) {
    row(p->entity).rows = p->rows_read;
  } else if (const auto* l = std::get_if<protocol::LogLine>(&event)) {
    if (!json_ && l->level >= LogLevel::Warn) {
      view_.print_above(escape_controls(fmt::format(
                            "{}{}{}", l->level == LogLevel::Warn ? "warning: " : "error: ",
                            l->entity.empty() ? "" : l->entity + ": ", l->message)) +
                        "\n");
    }
  } else {
    return;  // started and committed states are between the engine and its parent
  }
  if (json_) io_.out(protocol::encode(event) + "\n");
}

void SyncReporter::tick() { view_.draw(rows_, elapsed()); }

void SyncReporter::finish(const protocol::RunResult& result, int exit_code) {
  boost::json::array table;
  for (const protocol::EntityResult& e : result.entities) {
    cli::ProgressRow& r = row(e.entity);
    r.rows = e.rows_read;
    boost::json::object o = protocol::to_json(e);
    if (previewed(result, e.entity)) o["outcome"] = "dry run";
    r.outcome = std::string_view(o["outcome"].get_string());
    o["duration"] = format_duration(e.duration);
    table.push_back(std::move(o));
  }
  tick();
  view_.finish();
  if (json_) {
    boost::json::value line = boost::json::parse(protocol::encode(protocol::Event(result)));
    line.get_object()["code"] = exit_code;
    io_.out(boost::json::serialize(line) + "\n");
    return;
  }
  for (const std::string& w : result.warnings) io_.err("warning: " + escape_controls(w) + "\n");
  for (const protocol::EntityResult& e : result.entities) {
    for (const std::string& w : e.warnings) {
      io_.err(escape_controls(fmt::format("warning: {}: {}", e.entity, w)) + "\n");
    }
  }
  if (table.empty()) return;
  io_.out(cli::format_table(io_, table,
                            {{"ENTITY", "entity"},
                             {"STATE", "outcome"},
                             {"READ", "rowsRead"},
                             {"WRITTEN", "rowsWritten"},
                             {"UPDATED", "rowsUpdated"},
                             {"REJECTED", "rowsRejected"},
                             {"SUPERSEDED", "rowsSuperseded"},
                             {"TIME", "duration"},
                             {"TABLE", "destinationTable"},
                             {"ERROR", "error"}}));
}

}  // namespace tidegate::app
