// Chained next times of the module; the peers in peers/ take the same arguments and do the same
// work.
//
//   cron_bench rate ZONE FILE STEPS         STEPS next times for each expression of FILE, from
//   2026,
//                                           beginning again at 2036; prints how many and a checksum
//   cron_bench list ZONE FILE FROM UNTIL    `line<TAB>unix second` for each time in [FROM, UNTIL)

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "control/cron/cron.h"

namespace {

namespace cron = tidegate::cron;
using tidegate::Instant;
using tidegate::Seconds;
using tidegate::to_ms;

constexpr std::int64_t kStart = 1'767'225'600;  // 2026-01-01T00:00:00Z
constexpr std::int64_t kEnd = 2'082'758'400;    // 2036-01-01T00:00:00Z

std::vector<cron::Expression> read(const char* file) {
  std::vector<cron::Expression> all;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    auto e = cron::Expression::parse(line, 0);
    if (!e) {
      std::fprintf(stderr, "%s\n", describe(e.error()).c_str());
      std::exit(2);
    }
    all.push_back(std::move(*e));
  }
  return all;
}

void rate(const std::vector<cron::Expression>& all, const cron::TimeZone& zone, long steps) {
  std::uint64_t checksum = 0;
  for (const cron::Expression& e : all) {
    Instant t{Seconds(kStart)};
    for (long i = 0; i < steps; ++i) {
      const auto next = e.next(t, zone, cron::DstPolicy::Auto);
      t = next && *next < Instant(Seconds(kEnd)) ? *next : Instant(Seconds(kStart));
      checksum += static_cast<std::uint64_t>(to_ms(t) / 1000);
    }
  }
  std::printf("%ld %llu\n", steps * static_cast<long>(all.size()),
              static_cast<unsigned long long>(checksum));
}

void list(const std::vector<cron::Expression>& all, const cron::TimeZone& zone, Instant from,
          Instant until) {
  for (std::size_t n = 0; n < all.size(); ++n) {
    auto t = all[n].next(from - Seconds(1), zone, cron::DstPolicy::Auto);
    for (; t && *t < until; t = all[n].next(*t, zone, cron::DstPolicy::Auto)) {
      std::printf("%zu\t%lld\n", n, static_cast<long long>(to_ms(*t) / 1000));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() >= 4) {
    const auto zone = cron::TimeZone::load(args[1]);
    if (zone && args[0] == "rate") {
      rate(read(argv[3]), *zone, std::atol(argv[4]));
      return 0;
    }
    if (zone && args[0] == "list" && args.size() == 5) {
      const auto from = tidegate::parse_rfc3339(args[3]), until = tidegate::parse_rfc3339(args[4]);
      if (from && until) {
        list(read(argv[3]), *zone, *from, *until);
        return 0;
      }
    }
  }
  std::fprintf(stderr, "usage: cron_bench rate ZONE FILE STEPS | list ZONE FILE FROM UNTIL\n");
  return 2;
}
