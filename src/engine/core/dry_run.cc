#include "engine/core/dry_run.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>

#include "engine/core/guarded.h"
#include "engine/core/outcome.h"
#include "engine/core/plan.h"
#include "engine/core/rows.h"
#include "engine/core/schema.h"
#include "protocol/fields.h"

namespace tidegate::engine {
namespace {

namespace bj = boost::json;

constexpr std::int64_t kRows = 5;
constexpr std::string_view kLoadNames[] = {"replace", "append", "merge"};

// The first rows that the run would write.
Result<bj::array> first_rows(Source& source, ReadParams params, std::optional<BoundFilter> bound) {
  const auto wanted = static_cast<std::size_t>(std::min(kRows, params.limit.value_or(kRows)));
  // Behind a bound any number of known rows may come before the first new one.
  params.limit = bound ? std::nullopt : std::optional(static_cast<std::int64_t>(wanted));
  bj::array rows;
  TG_TRY(const std::vector<Partition> partitions, source.plan(params));
  for (const Partition& partition : partitions) {
    TG_TRY(const std::unique_ptr<Reader> reader, source.open(params, partition));
    while (rows.size() < wanted) {
      TG_TRY(const std::optional<ReadBatch> read, reader->next());
      if (!read) break;
      std::shared_ptr<arrow::RecordBatch> batch = read->batch;
      if (bound) {
        TG_TRY(BoundFilter::Rows fresh, bound->apply(batch));
        batch = std::move(fresh.batch);
      }
      for (std::int64_t row = 0; row < batch->num_rows() && rows.size() < wanted; ++row) {
        rows.push_back(row_json(*batch, row));
      }
    }
  }
  return rows;
}

Result<bj::object> preview(const protocol::RunSpec& run, const EntityInfo& info, Source& source,
                           Destination& destination, const Context& context,
                           std::vector<std::string>& warnings) {
  TG_TRY(const EntityRequest request,
         make_request(run, info, source.identity(), destination.has_keys()));
  TG_TRY(const WriterState found, destination.inspect({.job = run.job,
                                                       .entity = info.name,
                                                       .run_id = run.run_id,
                                                       .attempt = run.attempt,
                                                       .fence = run.fence,
                                                       .take_over = run.take_over}));
  TG_TRY(EntityDecision decision, decide(run, request, found, context.clock.now()));
  for (auto& w : decision.warnings) warnings.push_back(std::move(w));
  TG_TRY(bj::array rows,
         first_rows(source, read_params(run, request, decision), bound_filter(request, decision)));
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
    if (s.info == nullptr) {
      result.entities.push_back(failed_entity(s.name, *s.error));
      continue;
    }
    if (skipped_without_columns(*s.info, selected.size())) {
      result.entities.push_back(without_columns(*s.info));
      continue;
    }
    protocol::EntityResult r;
    r.entity = s.name;
    r.outcome = protocol::EntityOutcome::Skipped;
    auto o =
        guarded([&] { return preview(run, *s.info, source, destination, context, r.warnings); });
    if (o) {
      entities.push_back(std::move(*o));
      result.entities.push_back(std::move(r));
    } else {
      result.entities.push_back(failed_entity(s.name, o.error()));
      result.entities.back().warnings = std::move(r.warnings);
    }
  }
  summarize(result);
  result.reply = bj::object{{"entities", std::move(entities)}};
  return result;
}

}  // namespace tidegate::engine
