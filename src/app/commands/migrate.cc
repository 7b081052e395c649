// `tidegate migrate`: brings the store's schema up to date, for servers that may not.
#include <fmt/format.h>

#include <boost/json/object.hpp>

#include "app/commands/commands.h"
#include "app/serve/data_dir.h"
#include "app/serve/open_store.h"
#include "cli/output.h"

namespace tidegate::app {
namespace {

Result<int> run_migrate(cli::Context& context, const cli::Args& args) {
  TG_TRY(const Config config, read_config(context, args));
  TG_TRY(const StoreUrl url, parse_store_url(config.store_url));
  TG_CHECK(check_store_folder(config, url));
  TG_TRY(const store::SchemaState before, inspect_store(config, url));
  const bool dry_run = args.has("dry-run");
  if (!dry_run && before.present < before.needed) {
    const SystemClock clock;
    SystemRng rng;
    if (url.kind == StoreKind::Sqlite) TG_CHECK(prepare_data_dir(config));
    TG_TRY(const auto store, open_store(config, url, clock, rng));
    TG_CHECK(store->ping());
  }
  TG_TRY(const store::SchemaState after, inspect_store(config, url));
  const boost::json::object done{{"store", url.shown},
                                 {"present", before.present},
                                 {"needed", before.needed},
                                 {"migrated", after.present != before.present},
                                 {"dryRun", dry_run}};
  return cli::print(
      context.io, args, done,
      {{"STORE", "store"}, {"PRESENT", "present"}, {"NEEDED", "needed"}, {"MIGRATED", "migrated"}});
}

}  // namespace

cli::Command migrate_command() {
  std::vector<cli::Option> options = config_options();
  options.push_back({"--dry-run",
                     "Only say which schema version is there and which one is needed",
                     cli::Arity::Flag,
                     false,
                     "",
                     {}});
  options.push_back(cli::output_option());
  return {"migrate",
          "Bring the store's schema up to date, then end\n\n"
          "Servers do so themselves when they start. For deployments where they may not create or "
          "alter tables: run this with an account that may, before the new version. Servers of the "
          "version before go on working. Version 0: there is no store yet.",
          std::move(options), run_migrate};
}

}  // namespace tidegate::app
