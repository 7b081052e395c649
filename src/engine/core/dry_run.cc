#include "engine/core/dry_run.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "engine/core/engine.h"
#include "engine/core/plan.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

namespace bj = boost::json;

constexpr std::int64_t kRows = 5;
constexpr std::string_view kLoadNames[] = {"replace", "append", "merge"};

// The first rows of a read, and how many rejected rows came before them.
Result<bj::array> first_rows(Source& source, const ReadParams& params) {
  bj::array rows;
  TG_TRY(const std::vector<Partition> partitions, source.plan(params));
  for (const Partition& partition : partitions) {
    TG_TRY(const std::unique_ptr<Reader> reader, source.open(params, partition));
    while (static_cast<std::int64_t>(rows.size()) < kRows) {
      TG_TRY(const std::optional<ReadBatch> batch, reader->next());
      if (!batch) break;
      for (std::int64_t row = 0; row < batch->batch->num_rows(); ++row) {
        if (static_cast<std::int64_t>(rows.size()) == kRows) return rows;
        rows.push_back(row_json(*batch->batch, row));
      }
    }
  }
  return rows;
}

Result<bj::object> preview(const protocol::RunSpec& run, const EntityInfo& info, Source& source,
                           Destination& destination, const Context& context,
                           std::vector<std::string>& warnings) {
  TG_TRY(const EntityRequest request, make_request(run, info, source.identity()));
  TG_TRY(const WriterState found, destination.inspect({.job = run.job,
                                                       .entity = info.name,
                                                       .run_id = run.run_id,
                                                       .attempt = run.attempt,
                                                       .fence = run.fence,
                                                       .take_over = run.take_over}));
  TG_TRY(EntityDecision decision, decide(run, request, found, context.clock.now()));
  for (auto& w : decision.warnings) warnings.push_back(std::move(w));
  std::vector<std::string> where;
  for (const auto& condition : {request.where, run.where}) {
    if (condition) where.push_back(*condition);
  }
  TG_TRY(bj::array rows, first_rows(source, {.entity = info.name,
                                             .columns = request.source_schema->field_names(),
                                             .where = where,
                                             .cursor = request.cursor,
                                             .from = decision.from,
                                             .to = decision.to,
                                             .limit = kRows}));
  bj::array columns;
  for (const auto& field : request.schema->fields()) {
    columns.push_back(
        bj::object{{"name", protocol::to_utf8(field->name())}, {"type", type_words(*field)}});
  }
  bj::object o{{"entity", protocol::to_utf8(info.name)},
               {"table", protocol::to_utf8(found.table)},
               {"mode", protocol::kSyncModeNames[static_cast<std::size_t>(request.mode)]},
               {"load", kLoadNames[static_cast<std::size_t>(decision.load)]},
               {"columns", std::move(columns)},
               {"primaryKey", protocol::to_array(request.key)},
               {"rows", std::move(rows)}};
  if (decision.from) o["from"] = protocol::to_utf8(decision.from->to_string());
  if (decision.to) o["to"] = protocol::to_utf8(decision.to->to_string());
  if (info.rows) o["sourceRows"] = *info.rows;
  return o;
}

}  // namespace

protocol::RunResult dry_run(const protocol::RunSpec& run, const std::vector<Selected>& selected,
                            Source& source, Destination& destination, const Context& context) {
  protocol::RunResult result;
  bj::array entities;
  for (const Selected& s : selected) {
    protocol::EntityResult r;
    r.entity = s.name;
    r.outcome = protocol::EntityOutcome::Skipped;
    const auto o = s.info == nullptr
                       ? Result<bj::object>(fail(*s.error))
                       : preview(run, *s.info, source, destination, context, r.warnings);
    if (o) {
      entities.push_back(*o);
    } else {
      r.outcome = protocol::EntityOutcome::Failed;
      r.error_kind = error_kind(o.error());
      r.error = error_text(o.error());
      result.error_kind = r.error_kind;
      result.error = r.error;
      result.code = exit_code(*r.error_kind);
    }
    result.entities.push_back(std::move(r));
  }
  result.reply = bj::object{{"entities", std::move(entities)}};
  return result;
}

}  // namespace tidegate::engine
