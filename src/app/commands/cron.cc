#include <fmt/format.h>

#include <cctype>

#include "app/commands/commands.h"
#include "control/cron/cron.h"

namespace tidegate::app {
namespace {

const cli::Option kExpression = {"EXPR", "The expression, in quotes: '*/15 * * * *'",
                                 cli::Arity::One, true};
const cli::Option kZone = {"-z,--timezone", "IANA name, such as America/New_York (default: UTC)",
                           cli::Arity::One, false,
                           "ZONE",          {}};
const cli::Option kDst = {
    "--dst",         "Times that clock changes skip or repeat: auto, once or wall (default: auto)",
    cli::Arity::One, false,
    "POLICY",        {"auto", "once", "wall"}};
const cli::Option kJob = {
    "--job", "Id of the job, which seeds H (default: none)", cli::Arity::One, false, "ID", {}};

struct Parsed {
  cron::Expression expression;
  cron::TimeZone zone;
  cron::DstPolicy dst;
};

Result<Parsed> parse(const cli::Args& args) {
  auto expression =
      cron::Expression::parse(args.get_or("EXPR", ""), cron::hash_seed(args.get_or("job", "")));
  if (!expression) {
    // A caret under the place makes the byte position readable.
    Error error = std::move(expression).error();
    for (FieldError& d : error.details) {
      if (d.position)
        d.message +=
            fmt::format("\n    {}\n    {:>{}}", args.get_or("EXPR", ""), '^', *d.position + 1);
    }
    return fail(std::move(error));
  }
  TG_TRY(cron::TimeZone zone, cron::TimeZone::load(args.get_or("timezone", "UTC")));
  auto dst = cron::DstPolicy::Auto;
  for (std::size_t i = 0; i < cron::kDstPolicyNames.size(); ++i) {
    if (args.get("dst") == cron::kDstPolicyNames[i]) dst = static_cast<cron::DstPolicy>(i);
  }
  return Parsed{std::move(*expression), std::move(zone), dst};
}

// H that is no letter of a name such as THU or MAR.
bool has_hash(std::string_view expression) {
  const auto letter = [&](std::size_t i) {
    return i < expression.size() && std::isalpha(static_cast<unsigned char>(expression[i])) != 0;
  };
  for (std::size_t i = 0; i < expression.size(); ++i) {
    if ((expression[i] == 'H' || expression[i] == 'h') && !letter(i - 1) && !letter(i + 1))
      return true;
  }
  return false;
}

// The values for no job are nobody's.
void warn_of_hash(cli::Context& context, const cli::Args& args) {
  if (args.has("job") || !has_hash(args.get_or("EXPR", ""))) return;
  context.io.err(
      "note: each job has values of its own for H; these are an example. --job ID shows a job's\n");
}

Result<int> next(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Parsed p, parse(args));
  TG_TRY(const auto count, args.integer("count", 1, 100'000));
  Instant t = SystemClock().now();
  if (const auto after = args.get("after")) {
    auto parsed = parse_rfc3339(*after);
    if (!parsed) {
      return fail(Code::Invalid,
                  fmt::format("--after must be an RFC 3339 time such as 2026-11-01T00:00:00Z, "
                              "not \"{}\": {}",
                              *after, parsed.error().message));
    }
    t = *parsed;
  }
  warn_of_hash(context, args);
  for (std::int64_t i = 0; i < count.value_or(1); ++i) {
    const auto slot = p.expression.next(t, p.zone, p.dst);
    if (!slot) {
      context.io.err("tidegate: no later time before the year 2300\n");
      break;
    }
    t = *slot;
    context.io.out(cron::format_local(t, p.zone) + "\n");
  }
  return 0;
}

Result<int> explain(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Parsed p, parse(args));
  warn_of_hash(context, args);
  const bool plain = !args.has("timezone") && !args.has("dst");
  context.io.out((plain ? p.expression.explain() : p.expression.explain(p.zone, p.dst)) + "\n");
  return 0;
}

}  // namespace

std::vector<cli::Command> cron_commands() {
  return {{"cron next",
           "Print the next times of an expression, one a line",
           {kExpression,
            kZone,
            {"--after",
             "Strictly after this RFC 3339 time (default: now)",
             cli::Arity::One,
             false,
             "TIME",
             {}},
            {"-n,--count", "How many times (default: 1)", cli::Arity::One, false, "N", {}},
            kDst,
            kJob},
           next},
          {"cron explain",
           "Say in English when an expression fires",
           {kExpression, kZone, kDst, kJob},
           explain}};
}

}  // namespace tidegate::app
