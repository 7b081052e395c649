#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>

#include <algorithm>

#include "engine/connectors/file/parquet_file.h"
#include "engine/connectors/file/parquet_int96.h"
#include "engine/connectors/file/parquet_types.h"
#include "engine/connectors/file/table.h"
#include "engine/core/context.h"
#include "engine/core/names.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

constexpr std::int64_t kRows = 16LL * 1024;

class ParquetReader final : public Reader {
 public:
  struct Params {
    std::shared_ptr<const InputFile> file;
    std::shared_ptr<arrow::Schema> schema;
    std::unique_ptr<parquet::arrow::FileReader> reader;
    std::unique_ptr<arrow::RecordBatchReader> batches;
    std::stop_token stop;
  };
  explicit ParquetReader(Params params) : p_(std::move(params)) {}

  std::shared_ptr<arrow::Schema> schema() const override { return p_.schema; }

  Result<std::optional<ReadBatch>> next() override {
    if (p_.stop.stop_requested()) return fail(Code::Cancelled, "stopped while reading files");
    if (!rest_ || rest_->num_rows() == 0) {
      TG_CHECK(reading_parquet(p_.file->path(), [&] { return p_.batches->ReadNext(&rest_); }));
      if (!rest_) {
        TG_CHECK(p_.file->unchanged());
        return std::nullopt;
      }
    }
    // Long values: fewer rows a batch.
    const std::int64_t bytes = size_of(*rest_);
    const std::int64_t rows =
        bytes <= kMaxBatchBytes
            ? rest_->num_rows()
            : std::max<std::int64_t>(1, rest_->num_rows() * kMaxBatchBytes / bytes);
    const auto part = rest_->Slice(0, rows);
    rest_ = rest_->Slice(rows);
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (const auto& field : p_.schema->fields()) {
      auto array = part->GetColumnByName(field->name());
      TG_CHECK(reading_parquet(p_.file->path(), [&]() -> arrow::Status {
        return as_plain(std::move(array), *field).Value(&array);
      }));
      arrays.push_back(std::move(array));
    }
    ReadBatch out;
    out.bytes = bytes * rows / std::max<std::int64_t>(1, part->num_rows() + rest_->num_rows());
    out.batch = arrow::RecordBatch::Make(p_.schema, rows, std::move(arrays));
    return out;
  }

 private:
  static std::int64_t size_of(const arrow::RecordBatch& batch) {
    std::int64_t bytes = 0;
    for (const auto& array : batch.columns()) {
      const auto size = arrow::util::ReferencedBufferSize(*array->data());
      bytes += size.ok() ? *size : 0;
    }
    return bytes;
  }

  Params p_;
  std::shared_ptr<arrow::RecordBatch> rest_;
};

// How the INT96 columns of one entity are read.
struct Int96Unit {
  arrow::TimeUnit::type unit = arrow::TimeUnit::MICRO;
  std::map<std::string, std::string> broken;  // see Int96Findings
};

class ParquetTable final : public FileTable {
 public:
  ParquetTable(Files files, std::shared_ptr<arrow::Schema> schema, std::int64_t rows,
               Int96Unit int96, std::stop_token stop)
      : files_(std::move(files)),
        schema_(std::move(schema)),
        rows_(rows),
        int96_(std::move(int96)),
        stop_(std::move(stop)) {}

  const std::shared_ptr<arrow::Schema>& schema() const override { return schema_; }
  std::optional<std::int64_t> rows() const override { return rows_; }

  Result<std::unique_ptr<Reader>> open(std::size_t index,
                                       std::shared_ptr<arrow::Schema> columns) override {
    const auto& file = files_[index];
    for (const auto& [name, fault] : int96_.broken) {
      if (columns->GetFieldIndex(name) >= 0) return fail(data_error(fault));
    }
    TG_TRY(auto reader, open_parquet(file->fd(), file->path(), int96_.unit, kRows));
    std::unique_ptr<arrow::RecordBatchReader> batches;
    TG_CHECK(reading_parquet(file->path(), [&]() -> arrow::Status {
      std::vector<int> groups(static_cast<std::size_t>(reader->num_row_groups()));
      std::ranges::generate(groups, [n = 0]() mutable { return n++; });
      std::vector<int> leaves;
      const auto& fields = reader->manifest().schema_fields;
      for (const auto& wanted : columns->fields()) {
        for (const auto& f : fields) {
          if (f.field->name() == wanted->name()) add_leaves(f, leaves);
        }
      }
      return reader->GetRecordBatchReader(groups, leaves).Value(&batches);
    }));
    return std::make_unique<ParquetReader>(ParquetReader::Params{
        file, std::move(columns), std::move(reader), std::move(batches), stop_});
  }

 private:
  static void add_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& out) {
    if (field.is_leaf()) out.push_back(field.column_index);
    for (const auto& child : field.children) add_leaves(child, out);
  }

  Files files_;
  std::shared_ptr<arrow::Schema> schema_;
  std::int64_t rows_;
  Int96Unit int96_;
  std::stop_token stop_;
};

// INT96 timestamps have no unit: all files of the entity are looked at, or, with `sample`, the
// beginning of each.
Result<Int96Unit> int96_unit(const Files& files, std::optional<std::int64_t> sample,
                             const std::stop_token& stop) {
  Int96Findings found;
  for (const auto& file : files) {
    TG_TRY(const auto reader,
           open_parquet(file->fd(), file->path(), arrow::TimeUnit::MICRO, kRows));
    TG_CHECK(reading_parquet(file->path(), [&] {
      return look_at_int96(*reader->parquet_reader(), sample, stop, found);
    }));
    if (stop.stop_requested()) return fail(Code::Cancelled, "stopped while reading files");
  }
  if (!found.nanos) return Int96Unit{arrow::TimeUnit::MICRO, std::move(found.broken)};
  if (found.beyond_nanos.empty()) return Int96Unit{arrow::TimeUnit::NANO, std::move(found.broken)};
  return fail(data_error(fmt::format(
      "the column \"{}\" has INT96 timestamps outside of the years 1678 to 2261, and others of "
      "this entity's have nanoseconds, which no one type holds; write the file with INT64 "
      "timestamps",
      found.beyond_nanos)));
}

}  // namespace

Result<std::unique_ptr<FileTable>> scan_parquet_table(const FileEntity&, Files files,
                                                      const SourceConfig&, const Context& context,
                                                      std::optional<std::int64_t> sample) {
  TG_TRY(auto int96, int96_unit(files, sample, context.stop));
  std::shared_ptr<arrow::Schema> schema;
  std::int64_t rows = 0;
  for (const auto& file : files) {
    TG_TRY(const auto reader, open_parquet(file->fd(), file->path(), int96.unit, kRows));
    std::shared_ptr<arrow::Schema> own;
    TG_CHECK(reading_parquet(file->path(), [&] { return reader->GetSchema(&own); }));
    std::vector<std::shared_ptr<arrow::Field>> fields;
    for (const auto& field : own->fields()) fields.push_back(plain(*field));
    own = arrow::schema(std::move(fields));
    rows += reader->parquet_reader()->metadata()->num_rows();
    for (int i = 0; i < own->num_fields(); ++i) {
      const std::string& name = own->field(i)->name();
      if (name_fault(name).empty()) continue;
      return fail(data_error(fmt::format("'{}': {}", file->path(),
                                         bad_column(static_cast<std::size_t>(i) + 1, name))));
    }
    for (const auto& field : own->fields()) {
      if (own->GetAllFieldIndices(field->name()).size() > 1) {
        return fail(data_error(fmt::format("'{}' has two columns named \"{}\"; rename one",
                                           file->path(), field->name())));
      }
    }
    if (schema && !schema->Equals(*own)) {
      return fail(data_error(fmt::format(
          "'{}' has other columns or types than '{}', so they cannot be one entity; give them "
          "different names in `entities`",
          file->path(), files.front()->path())));
    }
    schema = std::move(own);
  }
  return std::make_unique<ParquetTable>(std::move(files), std::move(schema), rows, std::move(int96),
                                        context.stop);
}

}  // namespace tidegate::engine::file
