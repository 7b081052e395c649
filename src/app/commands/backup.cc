// `tidegate backup FILE` and `tidegate restore FILE`: everything of a store in one file, and back.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/array.hpp>

#include "app/commands/transfer_progress.h"
#include "app/serve/data_dir.h"
#include "app/serve/open_store.h"
#include "control/archive/restore.h"
#include "control/secrets/tokens.h"

namespace tidegate::app {
namespace {

// A restore makes a store where there is none; a backup must not.
Status check_exists(const StoreUrl& url) {
  if (is_there(url)) return {};
  return fail(
      Code::NotFound,
      fmt::format("there is no store {}; name it with --store or its folder with --data", url.path),
      "no_store");
}

boost::json::object counts(const archive::Trailer& trailer) {
  boost::json::object o;
  for (const auto& [kind, n] : trailer.records) o[kind] = n;
  return o;
}

std::string counted(const boost::json::value& row) {
  std::string text;
  for (const auto& member : row.at("records").as_object()) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", member.value().as_int64(),
                        std::string_view(member.key()));
  }
  return text;
}

boost::json::array texts(const std::vector<std::string>& list) {
  boost::json::array out;
  for (const auto& text : list) out.emplace_back(text);
  return out;
}

Result<int> run_backup(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  TG_TRY(const StoreUrl url, parse_store_url(config.store_url));
  TG_CHECK(check_exists(url));
  const SystemClock clock;
  SystemRng rng;
  const std::string file = args.get_or("FILE", "");
  TransferProgress progress(context, "the backup was stopped; nothing was left behind");
  TG_TRY(const auto store, open_store(config, url, clock, rng));
  auto report = archive::backup(*store, clock, {.path = file, .replace = args.has("force")},
                                progress.callback());
  progress.clear();
  TG_CHECK(report);
  if (!report->header.snapshot) {
    context.io.err(
        "warning: this store shows no moment as a whole; what changed meanwhile may be "
        "in the backup in part (docs/ops/backup.md)\n");
  }
  progress.finish({{"file", file},
                   {"store", url.shown},
                   {"createdAt", format_utc(report->header.created_at)},
                   {"snapshot", report->header.snapshot},
                   {"bytes", report->bytes},
                   {"records", counts(report->trailer)},
                   {"secretKeys", texts(report->trailer.secret_keys)},
                   {"sha256", report->trailer.sha256}},
                  {{"FILE", "file"},
                   {"STORE", "store"},
                   {"MADE AT", "createdAt"},
                   {"BYTES", "bytes"},
                   {"RECORDS", "records", counted}});
  return 0;
}

bool has_keys(const Config& config) {
  return !config.secret_key.empty() ||
         ::access((config.data_dir + "/secret-key").c_str(), F_OK) == 0;
}

// The keys of this server; where it has none yet, one that opens nothing.
Result<secrets::KeyRing> keys_of(const Config& config, Rng& rng) {
  if (has_keys(config)) return key_ring(config, rng);
  return secrets::KeyRing::from_text(secrets::sha256_hex(secrets::new_token(rng).reveal()));
}

Result<int> run_restore(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  TG_TRY(const StoreUrl url, parse_store_url(config.store_url));
  const SystemClock clock;
  SystemRng rng;
  TG_TRY(const auto keys, keys_of(config, rng));
  const std::string file = args.get_or("FILE", "");
  TG_TRY(auto checked, archive::check_backup(file, keys));
  if (url.kind == StoreKind::Sqlite) TG_CHECK(prepare_data_dir(config));
  TransferProgress progress(context,
                            "the restore was stopped in the middle; repeat the same command to "
                            "complete it, or empty the store");
  TG_TRY(const auto store, open_store(config, url, clock, rng, has_keys(config) ? &keys : nullptr));
  if (has_keys(config)) TG_CHECK(check_store_key(*store, keys));
  auto report = archive::restore(*store, checked, progress.callback());
  progress.clear();
  TG_CHECK(report);
  if (has_keys(config)) TG_CHECK(keep_store_key(*store, keys));
  progress.finish({{"file", file},
                   {"store", url.shown},
                   {"madeAt", format_utc(report->header.created_at)},
                   {"madeFrom", report->header.store},
                   {"restoredAt", format_utc(report->at)},
                   {"records", counts(report->trailer)},
                   {"pausedJobs", report->paused_jobs},
                   {"endedRuns", report->ended_runs},
                   {"missedSlots", report->missed_slots}},
                  {{"STORE", "store"},
                   {"MADE AT", "madeAt"},
                   {"MADE FROM", "madeFrom"},
                   {"RECORDS", "records", counted},
                   {"JOBS PAUSED", "pausedJobs"},
                   {"RUNS ENDED", "endedRuns"},
                   {"SLOTS MISSED", "missedSlots"}});
  if (context.io.out_is_terminal && report->paused_jobs > 0) {
    context.io.err(
        "All jobs are paused. When the old server is off, start this one and resume "
        "them: tidegate jobs resume --all (in each workspace)\n");
  }
  return 0;
}

std::vector<cli::Option> options_with_file(std::string help) {
  std::vector<cli::Option> options = config_options();
  options.insert(options.begin(), {"FILE", std::move(help), cli::Arity::One, true, "FILE", {}});
  return options;
}

}  // namespace

std::vector<cli::Command> backup_commands() {
  std::vector<cli::Option> options = options_with_file("Where to write it");
  options.push_back({"--force", "Replace FILE when it exists", cli::Arity::Flag, false, "", {}});
  return {
      {"backup",
       "Write everything that the store holds into one file\n\n"
       "Servers may go on working on it. Secrets stay encrypted: keep their key too, elsewhere. "
       "The file (JSON lines in gzip, with a checksum) gets its name when it is complete and was "
       "read again.",
       std::move(options), run_backup},
      {"restore",
       "Fill an empty store of any kind from a backup\n\n"
       "FILE is checked as a whole before anything is written. Ids and history are kept. What "
       "was queued or running ends as cancelled, every job is paused, and what came due since "
       "the backup is recorded as missed_restored. No server may run on the store. One that was "
       "interrupted is completed by the same command.",
       options_with_file("A file that `tidegate backup` made"), run_restore}};
}

}  // namespace tidegate::app
