#include "control/model/schedule_json.h"

#include <fmt/format.h>

#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

constexpr Millis kSecond{1000};
constexpr Millis kDay{86'400'000};
constexpr std::size_t kMaxCron = 500;  // bytes

// Moves the details of another module's error under `field`.
void adopt(const Error& error, const std::string& field, std::vector<FieldError>& errors) {
  if (error.details.empty()) {
    errors.push_back({field, error.message, std::nullopt});
    return;
  }
  for (const FieldError& d : error.details) errors.push_back({field, d.message, d.position});
}

void check_cron(const CronSchedule& s, std::uint64_t seed, const std::string& field,
                std::vector<FieldError>& errors) {
  if (auto parsed = cron::Expression::parse(s.expression, seed); !parsed) {
    adopt(parsed.error(), field, errors);
  }
}

Schedule read_cron(json::Reader& r, std::uint64_t seed, std::vector<FieldError>& errors) {
  CronSchedule s;
  if (auto text = r.text("cron", {.max = kMaxCron})) {
    s.expression = std::move(*text);
    check_cron(s, seed, r.path("cron"), errors);
  }
  if (auto zone = r.text("timezone", {.min = 1, .max = 100})) {
    s.timezone = std::move(*zone);
    if (auto loaded = cron::TimeZone::load(s.timezone); !loaded) {
      adopt(loaded.error(), r.path("timezone"), errors);
    }
  }
  if (const auto dst = r.one_of("dst", cron::kDstPolicyNames)) {
    s.dst = static_cast<cron::DstPolicy>(*dst);
  }
  return s;
}

Schedule read_every(json::Reader& r) {
  EverySchedule s;
  if (const auto every = r.duration("every", kSecond, 366 * kDay)) {
    if (*every % kSecond != Millis(0)) {
      r.error("every", "must be whole seconds, such as 90s");
    }
    s.every = *every;
  }
  // Slots are whole seconds.
  if (const auto anchor = r.time("anchor")) s.anchor = std::chrono::floor<Seconds>(*anchor);
  return s;
}

// 2 and not 2E0, which is how Boost.JSON writes a double.
boost::json::value number(double d) {
  const auto whole = static_cast<std::int64_t>(d);
  if (static_cast<double>(whole) == d) return whole;
  return d;
}

bool given(const boost::json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && !v->is_null();
}

}  // namespace

boost::json::value to_json(const Schedule& schedule) {
  boost::json::object o;
  if (const auto* c = std::get_if<CronSchedule>(&schedule)) {
    o["cron"] = c->expression;
    o["timezone"] = c->timezone;
    o["dst"] = cron::name(c->dst);
  } else if (const auto* e = std::get_if<EverySchedule>(&schedule)) {
    o["every"] = format_duration(e->every);
    o["anchor"] = time_or_null(e->anchor);
  } else if (const auto* a = std::get_if<AtSchedule>(&schedule)) {
    o["at"] = format_utc(a->at);
  } else {
    return nullptr;
  }
  return o;
}

boost::json::object to_json(const RetryPolicy& retry) {
  return {{"maxAttempts", retry.max_attempts},
          {"initial", format_duration(retry.initial)},
          {"factor", number(retry.factor)},
          {"max", format_duration(retry.max)},
          {"jitter", retry.jitter}};
}

Schedule read_schedule(json::Reader& r, std::string_view key, std::uint64_t hash_seed,
                       std::vector<FieldError>& errors) {
  const auto* v = r.raw(key);
  if (v == nullptr || v->is_null()) return {};
  if (v->is_string()) {
    CronSchedule s;
    if (auto text = r.text(key, {.max = kMaxCron})) {
      s.expression = std::move(*text);
      check_cron(s, hash_seed, r.path(key), errors);
    }
    return s;
  }
  if (!v->is_object()) {
    r.error(key, fmt::format(
                     "must be a cron expression or an object with one of cron, every or at, not {}",
                     json::type_name(*v)));
    return {};
  }
  const boost::json::object& o = v->get_object();
  json::Reader inner(o, r.path(key), errors);
  const int kinds = given(o, "cron") + given(o, "every") + given(o, "at");
  if (kinds != 1) {
    r.error(key, kinds == 0 ? "must have one of cron, every or at"
                            : "must have only one of cron, every and at");
    return {};
  }
  // Null stands for absent, so that an answer with nulls can be sent back.
  for (const std::string_view name : {"cron", "timezone", "dst", "every", "anchor", "at"}) {
    if (o.contains(name) && !given(o, name)) inner.ignore(name);
  }
  Schedule s;
  if (given(o, "cron")) s = read_cron(inner, hash_seed, errors);
  if (given(o, "every")) s = read_every(inner);
  if (given(o, "at")) {
    if (const auto at = inner.time("at")) s = AtSchedule{std::chrono::floor<Seconds>(*at)};
  }
  inner.finish();
  return s;
}

RetryPolicy read_retry(json::Reader& r, std::string_view key, std::vector<FieldError>& errors) {
  RetryPolicy p;
  const auto* o = r.child(key);
  if (o == nullptr) return p;
  json::Reader inner(*o, r.path(key), errors);
  if (const auto n = inner.integer("maxAttempts", {.min = 1, .max = 100})) {
    p.max_attempts = static_cast<int>(*n);
  }
  if (const auto d = inner.duration("initial", Millis(0), kDay)) p.initial = *d;
  if (const auto f = inner.number("factor", 1.0, 100.0)) p.factor = *f;
  if (const auto d = inner.duration("max", Millis(0), 7 * kDay)) p.max = *d;
  if (const auto b = inner.boolean("jitter")) p.jitter = *b;
  if (p.max < p.initial) {
    inner.error("max", fmt::format("is {}, less than initial ({}); raise it",
                                   format_duration(p.max), format_duration(p.initial)));
  }
  inner.finish();
  return p;
}

}  // namespace tidegate::model
