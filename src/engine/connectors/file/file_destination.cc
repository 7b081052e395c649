#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "engine/connectors/file/config.h"
#include "engine/connectors/file/file_layout.h"
#include "engine/connectors/file/file_writer.h"
#include "engine/connectors/file/roles.h"
#include "engine/connectors/file/table_folder.h"
#include "engine/core/older_session.h"

namespace tidegate::engine::file {
namespace {

class FileDestination final : public Destination {
 public:
  FileDestination(std::string path, Format format, const Context& context)
      : path_(std::move(path)), format_(format), context_(context) {}

  std::string identity() const override {
    const auto real = context_.paths.resolve(path_, true);
    return "file:" + (real ? *real : path_);
  }

  std::optional<std::string> local_file(const std::string& entity) const override {
    const auto name = table_name(entity);
    const auto real = context_.paths.resolve(path_, true);
    return name && real ? std::optional(*real + "/" + TableFolder::file_name(*name, format_))
                        : std::nullopt;
  }

  bool has_keys() const override { return false; }

  Status check() override {
    TG_TRY(const std::string real, real_folder());
    const bool exists = access(real.c_str(), F_OK) == 0;
    const std::string folder = exists ? real : real.substr(0, real.rfind('/') + 1);
    if (access(folder.c_str(), W_OK | X_OK) == 0) return {};
    return fail(Code::Forbidden,
                fmt::format("no write access to the folder '{}'; grant it to this user", folder));
  }

  Result<WriterState> inspect(const WritePlan& plan) override {
    TG_TRY(const std::string name, table_name(plan.entity));
    TG_TRY(const std::string real, real_folder());
    TG_TRY(const Found found, find(real, name));
    TG_CHECK(check_owner(found, plan));
    TG_TRY(WriterState state, state_of(found, real, plan));
    if (found.claim && is_mine(*found.claim, plan)) state.fence = Fence(found.claim->fence);
    return state;
  }

  Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) override {
    TG_CHECK(check());
    TG_TRY(const std::string name, table_name(plan.entity));
    TG_TRY(const std::string real, real_folder());
    TG_TRY(const Found found, find(real, name));
    TG_TRY(FileLayout layout, plan_layout(found.now, plan, load));
    Trial trial;
    trial.rows = std::make_unique<RowFit>(layout, *load.schema);
    trial.changes = std::move(layout.sentences);
    return trial;
  }

  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override {
    TG_TRY(const std::string name, table_name(plan.entity));
    TG_TRY(const std::string real, real_folder());
    TG_TRY(TableFolder folder, TableFolder::open(real, name, true));
    TG_TRY(auto stored, folder.claim());
    const bool serverless = value(plan.fence) == 0;
    TableClaim claim{.job = plan.job,
                     .entity = plan.entity,
                     .fence = serverless ? (stored ? stored->fence : 0) + 1 : value(plan.fence),
                     .session = writer_session(++writers_)};
    if (stored && is_mine(*stored, plan)) {
      TG_CHECK(end_older_session({stored->session, stored->fence}, claim.fence, serverless,
                                 "this folder", context_));
    }
    TG_TRY(const Fd lock, folder.lock(claim, context_));
    TG_TRY(stored, folder.claim());
    Found found{
        .table = name, .now = file_now(folder, format_, nullptr), .claim = stored, .version = {}};
    TG_CHECK(check_owner(found, plan));
    if (stored && is_mine(*stored, plan)) {
      if (serverless) claim.fence = stored->fence + 1;
      if (stored->fence > claim.fence) {
        context_.fence_found(Fence(stored->fence));
        return fail(
            Code::Fenced,
            fmt::format("a newer attempt holds '{}' (fence {}, mine {}); nothing was written",
                        folder.shown_path(format_), stored->fence, claim.fence));
      }
    }
    TG_TRY(const std::string id, TableFolder::destination_id(real, true, context_));
    TG_CHECK(folder.set_claim(claim));
    folder.tidy();
    TG_CHECK(look(folder, found));
    TG_TRY(WriterState state, state_of(found, real, plan));
    state.fence = Fence(claim.fence);
    state.destination_id = id;
    return std::make_unique<FileWriter>(
        std::move(folder), format_, context_, plan, std::move(claim), std::move(state),
        found.version ? std::optional(std::move(*found.version)) : std::nullopt);
  }

 private:
  // One table as it stands.
  struct Found {
    std::string table;
    FileNow now;  // its `base` is `version`
    std::optional<TableClaim> claim;
    std::unique_ptr<TableFolder::Version> version;
  };

  Result<Found> find(const std::string& root, const std::string& table) const {
    Found found{.table = table, .now = {}, .claim = {}, .version = {}};
    auto folder = TableFolder::open(root, table, false);
    if (!folder && folder.error().code == Code::NotFound) {
      found.now.format = format_;
      found.now.path = fmt::format("{}/{}", root, TableFolder::file_name(table, format_));
      found.now.foreign = TableFolder::shown(root, table, format_) == TableFolder::Shown::Foreign;
      return found;
    }
    if (!folder) return fail(folder.error());
    TG_TRY(found.claim, folder->claim());
    TG_CHECK(look(*folder, found));
    return found;
  }

  Status look(const TableFolder& folder, Found& found) const {
    TG_TRY(auto version, folder.current());
    if (version) found.version = std::make_unique<TableFolder::Version>(std::move(*version));
    found.now = file_now(folder, format_, found.version ? &found.version->state : nullptr);
    return {};
  }

  // Who names a file wants one file, and would get a folder with files in it.
  Result<std::string> real_folder() const {
    TG_TRY(std::string real, context_.paths.resolve(path_, true));
    struct stat st{};
    const bool exists = stat(real.c_str(), &st) == 0;
    if (exists ? S_ISDIR(st.st_mode) : !format_of(real)) return real;
    const std::string folder = path_.substr(0, path_.rfind('/') + 1) + stem_of(path_);
    const auto format = format_of(real);
    const std::string format_words =
        format.value_or(format_) == format_
            ? ""
            : fmt::format(", and the format {} (of `tidegate sync`: '{}/?format={}')",
                          name_of(*format), folder, name_of(*format));
    std::string message = fmt::format(
        "'{}' {}, and a destination is a folder, in which each entity is a file of its own; give a "
        "folder, such as '{}/'{}",
        path_, exists ? "is a file" : "has the name of a file", folder, format_words);
    return fail(Error{Code::Invalid, message, "not_a_folder", {{"path", message, {}}}});
  }

  static bool is_mine(const TableClaim& claim, const WritePlan& plan) {
    return claim.job == plan.job && claim.entity == plan.entity;
  }

  static Status check_owner(const Found& found, const WritePlan& plan) {
    if (plan.take_over) return {};
    if (found.claim && !is_mine(*found.claim, plan)) {
      return fail(
          Code::Conflict,
          fmt::format("'{}' belongs to the job '{}' (entity \"{}\"); write to another folder, "
                      "or take the file over (--take-over of `tidegate sync` or `tidegate jobs "
                      "run`), which ends that job's use of it",
                      found.now.path, found.claim->job, found.claim->entity),
          "table_owned");
    }
    if (!found.now.foreign) return {};
    return fail(
        Code::Conflict,
        fmt::format("'{}' was not written by Tidegate and is not touched; move it away, write "
                    "to another folder, or take it over (--take-over of `tidegate sync` or "
                    "`tidegate jobs run`)",
                    found.now.path),
        "table_foreign");
  }

  Result<WriterState> state_of(const Found& found, const std::string& root,
                               const WritePlan& plan) const {
    WriterState state;
    state.table = found.table;
    TG_TRY(state.destination_id, TableFolder::destination_id(root, false, context_));
    const auto& version = found.version;
    if (version && version->state.job == plan.job && version->state.entity == plan.entity) {
      state.epoch = version->state.epoch;
      state.sequence = version->state.sequence;
      state.state = version->state.state;
    }
    const bool ours = found.now.shown && version && version->state.has_data;
    state.table_exists = ours || found.now.foreign;
    state.table_empty = ours ? version->state.rows == 0 : !state.table_exists;
    return state;
  }

  const std::string path_;
  const Format format_;
  const Context& context_;
  int writers_ = 0;
};

}  // namespace

Result<std::unique_ptr<Destination>> make_destination(const boost::json::object& config,
                                                      const Context& context) {
  static constexpr std::string_view kWords[] = {"auto", "csv", "jsonl", "parquet"};
  std::vector<FieldError> errors;
  json::Reader reader(config, "", errors);
  std::string path = reader.text("path", {.min = 1, .max = 4096, .required = true}).value_or("");
  // `out/` names the folder also when it is still to be made.
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t word = reader.one_of("format", kWords).value_or(0);
  reader.finish();
  if (!errors.empty()) {
    return fail(Error{Code::Invalid, "the configuration of the file destination is wrong",
                      "bad_config", std::move(errors)});
  }
  return std::make_unique<FileDestination>(std::move(path),
                                           word == 0 ? Format::Csv : kFormats[word - 1], context);
}

}  // namespace tidegate::engine::file
