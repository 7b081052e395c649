#include <arrow/type.h>

#include <algorithm>

#include "engine/connectors/file/table.h"

namespace tidegate::engine::file {
namespace {

class CsvTable final : public FileTable {
 public:
  struct Part {
    std::shared_ptr<const InputFile> file;
    bool gzip;
    CsvScan scan;
  };
  CsvTable(CsvOptions options, std::vector<Part> parts, std::shared_ptr<arrow::Schema> schema,
           std::stop_token stop)
      : options_(std::move(options)),
        parts_(std::move(parts)),
        schema_(std::move(schema)),
        stop_(std::move(stop)) {}

  const std::shared_ptr<arrow::Schema>& schema() const override { return schema_; }

  std::optional<std::int64_t> rows() const override {
    std::int64_t sum = 0;
    for (const Part& p : parts_) {
      if (!p.scan.rows) return std::nullopt;
      sum += *p.scan.rows;
    }
    return sum;
  }

  Result<std::unique_ptr<Reader>> open(std::size_t index,
                                       std::shared_ptr<arrow::Schema> columns) override {
    const Part& p = parts_[index];
    return std::make_unique<BatchReader>(
        BatchReader::Params{p.file, std::move(columns), p.scan.names, options_.nulls,
                            options_.dialect.quote, stop_},
        csv_rows(p.file, p.gzip, options_, p.scan));
  }

 private:
  const CsvOptions options_;
  std::vector<Part> parts_;
  std::shared_ptr<arrow::Schema> schema_;
  std::stop_token stop_;
};

// The columns of all files, in the order in which they first appear; of each the type that holds
// all files' values.
std::shared_ptr<arrow::Schema> unite(const std::vector<CsvTable::Part>& parts,
                                     const DeclaredType& declared) {
  std::vector<std::string> names;
  std::map<std::string, ColumnGuess> guesses;
  for (const auto& part : parts) {
    for (std::size_t i = 0; i < part.scan.names.size(); ++i) {
      const auto& name = part.scan.names[i];
      auto [it, added] = guesses.try_emplace(name);
      if (added) names.push_back(name);
      it->second.add(part.scan.guesses[i]);
    }
  }
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const auto& name : names) {
    auto field = declared(name);
    fields.push_back(field ? std::move(field) : guesses[name].field(name));
  }
  return arrow::schema(std::move(fields));
}

}  // namespace

Result<bool> is_gzip(const InputFile& file) {
  std::array<char, 2> magic{};
  TG_TRY(const std::size_t n, file.read_at(0, magic));
  return n == 2 && magic[0] == '\x1F' && magic[1] == '\x8B';
}

Result<std::unique_ptr<FileTable>> scan_csv_table(const FileEntity& entity, Files files,
                                                  const SourceConfig& config,
                                                  const Context& context,
                                                  std::optional<std::int64_t> sample) {
  CsvOptions options = config.csv;
  if (!config.delimiter && std::ranges::all_of(entity.files, [](std::string_view f) {
        return f.ends_with(".tsv") || f.ends_with(".tsv.gz");
      })) {
    options.dialect.delimiter = '\t';
  }
  const DeclaredType declared = [&](const std::string& column) {
    return config.declared(entity.name, column);
  };
  std::vector<CsvTable::Part> parts;
  for (auto& file : files) {
    TG_TRY(const bool gzip, is_gzip(*file));
    TG_TRY(CsvScan scan, scan_csv(file, gzip, options, declared, sample, context.stop));
    parts.push_back({std::move(file), gzip, std::move(scan)});
  }
  auto schema = unite(parts, declared);
  return std::make_unique<CsvTable>(std::move(options), std::move(parts), std::move(schema),
                                    context.stop);
}

}  // namespace tidegate::engine::file
