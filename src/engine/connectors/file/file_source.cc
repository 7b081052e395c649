#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "engine/connectors/file/config.h"
#include "engine/connectors/file/file_connector.h"
#include "engine/connectors/file/last_line.h"
#include "engine/connectors/file/roles.h"
#include "engine/connectors/file/table.h"
#include "engine/core/selection.h"

namespace tidegate::engine::file {
namespace {

// What sample() looks at, so that it takes seconds whatever there is.
constexpr std::size_t kSampledEntities = 200;
constexpr std::size_t kSampledFiles = 3;  // of one entity
constexpr std::int64_t kSampledBytes = 1 << 20;
constexpr std::size_t kShownFiles = 3;

class FileSource final : public Source {
 public:
  FileSource(SourceConfig config, const Context& context)
      : config_(std::move(config)), context_(context) {}

  std::string identity() const override { return "file:" + absolute(config_.path, context_.paths); }

  std::vector<std::string> local_files() const override {
    std::vector<std::string> out;
    for (const std::string& path : files_) {
      if (auto real = context_.paths.resolve(path, false)) out.push_back(std::move(*real));
    }
    return out;
  }

  Status check() override {
    TG_TRY(const FileSet set, find_files(config_, context_.paths));
    if (!set.bad.empty()) return fail(set.bad.front().error);
    for (const FileEntity& entity : set.entities) {
      for (const std::string& path : entity.files) {
        TG_CHECK(InputFile::open(context_.paths, path));
      }
    }
    return {};
  }

  Result<Catalog> discover(const Wanted& wanted) override {
    TG_TRY(FileSet set, find_files(config_, context_.paths));
    Catalog catalog;
    catalog.bad = std::move(set.bad);
    files_.clear();
    for (const FileEntity& entity : set.entities) {
      files_.insert(files_.end(), entity.files.begin(), entity.files.end());
      if (wanted && !wanted(entity.name)) {
        catalog.others.push_back(entity.name);
        continue;
      }
      auto table = scan(entity);
      if (table) {
        catalog.entities.push_back(describe_entity(entity, **table));
      } else if (table.error().code == Code::Cancelled) {
        return fail(std::move(table).error());
      } else {
        catalog.bad.push_back({entity.name, std::move(table).error()});
      }
    }
    return catalog;
  }

  // The first files of the first entities, and of them the first rows.
  Result<Catalog> sample() override {
    TG_TRY(FileSet set, find_files(config_, context_.paths));
    Catalog catalog;
    catalog.bad = std::move(set.bad);
    for (const FileEntity& entity : set.entities) {
      if (context_.stop.stop_requested()) return fail(Code::Cancelled, "stopped while sampling");
      if (catalog.entities.size() + catalog.bad.size() >= kSampledEntities) {
        catalog.others.push_back(entity.name);
      } else if (auto info = sample_of(entity)) {
        catalog.entities.push_back(std::move(*info));
      } else {
        catalog.bad.push_back({entity.name, std::move(info).error()});
      }
    }
    return catalog;
  }

  Result<std::vector<Partition>> plan(const ReadParams& params) override {
    if (!params.where.empty()) {
      return fail(Code::Unsupported,
                  "files have no query language, so `where` cannot be applied; remove it");
    }
    TG_TRY(Scanned * scanned, scanned_entity(params.entity));
    std::vector<Partition> out;
    const bool one = scanned->stamps.size() == 1;
    for (std::size_t i = 0; i < scanned->stamps.size(); ++i) {
      out.push_back({std::to_string(i), one ? scanned->table->rows() : std::nullopt});
    }
    return out;
  }

  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override {
    TG_TRY(Scanned * scanned, scanned_entity(params.entity));
    std::size_t index = 0;
    const std::string& token = partition.token;
    std::from_chars(token.data(), token.data() + token.size(), index);
    std::vector<std::shared_ptr<arrow::Field>> fields;
    for (const std::string& name : params.columns) {
      auto field = scanned->table->schema()->GetFieldByName(name);
      if (!field) {
        return fail(Code::Invalid, fmt::format("\"{}\" has no column \"{}\"", params.entity, name));
      }
      fields.push_back(std::move(field));
    }
    return scanned->table->open(index, arrow::schema(std::move(fields)));
  }

 private:
  struct Scanned {
    std::vector<InputFile::Stamp> stamps;
    std::unique_ptr<FileTable> table;
  };

  // `for_good`: what is read will be kept, so a last line must be a whole one.
  Result<Files> open_files(const FileEntity& entity, bool for_good) const {
    std::vector<std::shared_ptr<InputFile>> files;
    for (const std::string& path : entity.files) {
      TG_TRY(auto file, InputFile::open(context_.paths, path));
      // Its directory is its end: no reader of it knows rows behind that.
      if (entity.format == Format::Parquet) file->refuse_growth();
      files.push_back(std::move(file));
    }
    if (for_good && entity.format != Format::Parquet) TG_CHECK(settle_last_lines(files, context_));
    return Files(files.begin(), files.end());
  }

  Result<std::unique_ptr<FileTable>> look_into(const FileEntity& entity, Files files,
                                               std::optional<std::int64_t> sample) const {
    using Scan = decltype(&scan_csv_table);
    static constexpr std::array<Scan, 3> kScans = {scan_csv_table, scan_jsonl_table,
                                                   scan_parquet_table};
    const Scan scan_table = kScans[static_cast<std::size_t>(entity.format)];
    return scan_table(entity, std::move(files), config_, context_, sample);
  }

  Result<EntityInfo> sample_of(FileEntity entity) const {
    const std::size_t all = entity.files.size();
    entity.files.resize(std::min(all, kSampledFiles));
    TG_TRY(Files files, open_files(entity, false));
    TG_TRY(const auto table, look_into(entity, std::move(files), kSampledBytes));
    EntityInfo info = describe_entity(entity, *table);
    const std::size_t seen = entity.files.size();
    if (seen < all) info.rows.reset();
    if (!info.rows) {
      info.warnings.push_back(fmt::format(
          "columns and types are those of the first rows{} only; a run looks at all of them",
          seen < all ? fmt::format(" of the first {} of {} files", seen, all) : ""));
    }
    return info;
  }

  // Opens the files and looks at them, unless they are what was looked at before.
  Result<FileTable*> scan(const FileEntity& entity) {
    TG_TRY(Files files, open_files(entity, true));
    std::vector<InputFile::Stamp> stamps;
    for (const auto& file : files) stamps.push_back(file->stamp());
    const auto known = scanned_.find(entity.name);
    if (known != scanned_.end() && known->second.stamps == stamps) return known->second.table.get();
    TG_TRY(auto table, look_into(entity, std::move(files), std::nullopt));
    Scanned& made = scanned_[entity.name];
    made = {std::move(stamps), std::move(table)};
    return made.table.get();
  }

  Result<Scanned*> scanned_entity(const std::string& name) {
    auto it = scanned_.find(name);
    if (it == scanned_.end()) {
      TG_TRY(const FileSet set, find_files(config_, context_.paths));
      const auto bad = std::ranges::find(set.bad, name, &BadEntity::name);
      if (bad != set.bad.end()) return fail(bad->error);
      const auto entity = std::ranges::find(set.entities, name, &FileEntity::name);
      if (entity == set.entities.end()) {
        return fail(Code::NotFound, fmt::format("no file is the entity \"{}\"; an entity is named "
                                                "after its file, without the extension",
                                                name));
      }
      TG_CHECK(scan(*entity));
      it = scanned_.find(name);
    }
    return &it->second;
  }

  EntityInfo describe_entity(const FileEntity& entity, const FileTable& table) const {
    EntityInfo info;
    info.name = entity.name;
    info.schema = table.schema();
    info.rows = table.rows();
    for (const auto& field : info.schema->fields()) {
      const std::string& name = field->name();
      const bool time = field->type()->id() == arrow::Type::TIMESTAMP ||
                        field->type()->id() == arrow::Type::DATE32;
      const bool number = field->type()->id() == arrow::Type::INT64;
      const bool id = name == "id" || name == "ID" || name == entity.name + "_id";
      if (time) info.cursor_candidates.push_back(name);
      if (id) info.key_candidates.push_back(name);
      if (number && (id || name == "seq" || name == "version" || name == "revision")) {
        info.cursor_candidates.push_back(name);
      }
    }
    if (info.schema->num_fields() == 0) {
      info.warnings.push_back(
          fmt::format("{} has no columns: it is empty, without even a header, or none of its rows "
                      "can be read; give it a header, or leave it out",
                      name_list(entity.files, kShownFiles)));
    }
    if (auto warning = wrong_delimiter(entity, *info.schema)) {
      info.warnings.push_back(std::move(*warning));
    }
    return info;
  }

  // Loaded as one column without a word, such a file is found out only by who needs the others.
  std::optional<std::string> wrong_delimiter(const FileEntity& entity,
                                             const arrow::Schema& schema) const {
    if (entity.format != Format::Csv || config_.delimiter || schema.num_fields() != 1) return {};
    const std::string& name = schema.field(0)->name();
    const auto at = name.find_first_of(";|\t");
    if (at == std::string::npos) return {};
    return fmt::format(
        "it has one column, \"{}\"; when its fields are separated by \"{}\", set `delimiter` of "
        "the source's configuration to that (of `tidegate sync`: a source in the file of --config)",
        name, name[at] == '\t' ? "\\t" : name.substr(at, 1));
  }

  const SourceConfig config_;
  const Context& context_;
  std::map<std::string, Scanned> scanned_;
  std::vector<std::string> files_;  // of the last discover()
};

}  // namespace

Result<std::unique_ptr<Source>> make_source(const boost::json::object& config,
                                            const Context& context) {
  TG_TRY(SourceConfig parsed, parse_source(config));
  return std::make_unique<FileSource>(std::move(parsed), context);
}

}  // namespace tidegate::engine::file

namespace tidegate::engine {

const Connector& file_connector() {
  static const Connector kConnector{.name = "file",
                                    .title = "Files (CSV, JSON lines, Parquet)",
                                    .spec = file::kSpec,
                                    .make_source = file::make_source,
                                    .make_destination = file::make_destination};
  return kConnector;
}

}  // namespace tidegate::engine
