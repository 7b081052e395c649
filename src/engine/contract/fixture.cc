#include "engine/contract/fixture.h"

#include <arrow/type.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "engine/core/dry_run.h"
#include "engine/core/selection.h"

namespace tidegate::engine::contract {

std::ostream& operator<<(std::ostream& out, const DestinationUnderTest& d) { return out << d.name; }

namespace {

std::string away(const std::string& folder) { return folder + "-away"; }
std::string old(const std::string& folder) { return folder + "-old"; }

}  // namespace

void DestinationUnderTest::lose_folder(const std::string& folder, Loss loss) {
  std::filesystem::rename(folder, away(folder));
  std::filesystem::create_directory(folder);
  if (loss == Loss::Removed) std::filesystem::remove_all(away(folder));
}

void DestinationUnderTest::back_up_folder(const std::string& folder) {
  std::filesystem::copy(
      folder, old(folder),
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
}

void DestinationUnderTest::restore_folder(const std::string& folder) {
  std::filesystem::remove_all(folder);
  std::filesystem::rename(old(folder), folder);
}

void DestinationUnderTest::tidy_folder(const std::string& folder) {
  std::error_code ignored;
  for (const std::string& path : {folder, away(folder), old(folder)}) {
    std::filesystem::remove_all(path, ignored);
  }
}

template <class Event>
std::vector<Event> CollectingSink::all_of() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Event> out;
  for (const auto& e : events_) {
    if (const auto* s = std::get_if<Event>(&e)) out.push_back(*s);
  }
  return out;
}

std::vector<protocol::StateCommitted> CollectingSink::states() const {
  return all_of<protocol::StateCommitted>();
}

std::vector<protocol::Progress> CollectingSink::progress() const {
  return all_of<protocol::Progress>();
}

Bench::Bench(DestinationUnderTest d) : under_test(std::move(d)) {
  // In memory where there is such a folder: the suites make thousands of durable commits.
  const bool memory = access("/dev/shm", W_OK) == 0;
  const std::filesystem::path base = memory ? "/dev/shm" : std::filesystem::temp_directory_path();
  std::string pattern = (base / "tidegate-contract-XXXXXX").string();
  folder = mkdtemp(pattern.data());
  spec.job = "job-1";
  spec.run_id = RunId("run-1");
  spec.fence = Fence(1);
  lease = std::make_unique<LeaseGuard>(clock_, std::nullopt, Millis(0));
  context_ =
      std::make_unique<Context>(Context{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}});
  context_->fence_found = [this](Fence found) { fence_found = found; };
}

Bench::~Bench() {
  under_test.tidy(folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

std::unique_ptr<Destination> Bench::destination() {
  auto d = under_test.connector().make_destination(under_test.config(folder), *context_);
  if (!d) throw std::runtime_error(describe(d.error()));
  return std::move(*d);
}

std::unique_ptr<Source> Bench::reader() {
  auto s = under_test.reader().make_source(under_test.reader_config(folder), *context_);
  if (!s) throw std::runtime_error(describe(s.error()));
  return std::move(*s);
}

protocol::EntityResult Bench::run(const std::string& entity_name) {
  const auto d = destination();
  return run(*d, entity_name);
}

protocol::EntityResult Bench::run(Destination& d, const std::string& entity_name) {
  RunEnvironment env{.spec = spec,
                     .source = source,
                     .destination = d,
                     .lease = *lease,
                     .events = sink,
                     .context = *context_,
                     .checkpoint_rows = checkpoint_rows};
  const Catalog catalog = *source.discover({});
  const auto info = std::ranges::find(catalog.entities, entity_name, &EntityInfo::name);
  return EntityRun(env, *info).execute();
}

protocol::RunResult Bench::look() {
  const Catalog catalog = *source.discover({});
  const auto d = destination();
  return dry_run(spec, select_entities(catalog, spec), source, *d, *context_);
}

std::vector<std::string> Bench::texts(const std::vector<std::string>& columns,
                                      const std::string& name) {
  const auto rows = read_everything(*reader(), name);
  if (!rows) return {"unreadable: " + describe(rows.error())};
  return row_texts(*rows, columns);
}

std::vector<std::string> Bench::stored(const std::string& name) {
  return texts(entity(name).schema->field_names(), name);
}

std::vector<std::string> Bench::expected(const std::string& name) {
  return row_texts(entity(name).batches, entity(name).schema->field_names());
}

bool Bench::nothing_stored(const std::string& name) {
  const auto rows = read_everything(*reader(), name);
  return !rows || row_texts(*rows, {}).empty();
}

void Bench::remember() {
  for (const auto& s : sink.states()) spec.known_state[s.entity] = s.state;
}

int link_suites() {
  return link_destination_suite() + link_crash_suite() + link_ownership_suite() +
         link_incremental_suite() + link_rejects_suite();
}

void DestinationContract::SetUp() { bench_ = std::make_unique<Bench>(GetParam()); }
void DestinationContract::TearDown() { bench_.reset(); }

}  // namespace tidegate::engine::contract
