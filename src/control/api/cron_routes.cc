#include <fmt/format.h>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/route.h"
#include "control/api/store_time.h"
#include "control/cron/cron.h"

namespace tidegate::api {
namespace {

constexpr std::int64_t kMaxCount = 1000;

void adopt(Query& query, std::vector<FieldError>& errors, const Error& error,
           std::string_view field) {
  if (error.details.empty()) query.error(field, error.message);
  for (const FieldError& d : error.details)
    errors.push_back({std::string(field), d.message, d.position});
}

Result<http::Response> preview(const Call& call) {
  Query query(call.request);
  std::vector<FieldError> errors;
  const auto text = query.text("expression", 500);
  const std::string zone_name = query.text("timezone", 100).value_or("UTC");
  const auto dst =
      static_cast<cron::DstPolicy>(query.one_of("dst", cron::kDstPolicyNames).value_or(0));
  const auto after = query.time("after");
  const auto count = query.integer("count", 1, kMaxCount).value_or(10);
  // What `H` stands for depends on the job.
  const std::string job = query.text("jobId").value_or("");
  if (!call.request.query("expression")) query.error("expression", "is missing");
  TG_CHECK(query.finish());
  const auto expression = cron::Expression::parse(*text, cron::hash_seed(job));
  if (!expression) adopt(query, errors, expression.error(), "expression");
  const auto zone = cron::TimeZone::load(zone_name);
  if (!zone) adopt(query, errors, zone.error(), "timezone");
  TG_CHECK(refuse(std::move(errors), "the query is not valid; see details", "invalid_query"));
  TG_CHECK(query.finish());

  boost::json::array times;
  TG_TRY(const Instant now, call.services.time.now());
  Instant t = after.value_or(now);
  for (std::int64_t n = 0; n < count; ++n) {
    const auto next = expression->next(t, *zone, dst);
    if (!next) break;
    t = *next;
    times.push_back(
        boost::json::object{{"at", format_utc(t)}, {"local", cron::format_local(t, *zone)}});
  }
  return answer(boost::json::object{{"expression", expression->text()},
                                    {"timezone", zone->name()},
                                    {"dst", cron::name(dst)},
                                    {"explanation", expression->explain(*zone, dst)},
                                    {"times", std::move(times)}});
}

}  // namespace

std::vector<ApiRoute> cron_routes() {
  return {{http::Method::Get, "/api/cron/preview", Access::Viewer, Scope::Any, preview}};
}

}  // namespace tidegate::api
