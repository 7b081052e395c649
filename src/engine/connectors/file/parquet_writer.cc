// Rows as Parquet, compressed with Zstandard, with the Arrow schema beside Parquet's own.

#include <arrow/array.h>
#include <arrow/extension/json.h>
#include <arrow/io/interfaces.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <fmt/format.h>
#include <parquet/arrow/schema.h>
#include <parquet/arrow/writer.h>
#include <parquet/file_reader.h>
#include <parquet/properties.h>
#include <parquet/schema.h>
#include <parquet/size_statistics.h>
#include <parquet/types.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "engine/connectors/file/file_types.h"
#include "engine/connectors/file/out_file.h"
#include "engine/connectors/file/parquet_file.h"
#include "engine/connectors/file/parquet_types.h"
#include "engine/connectors/file/row_fit.h"
#include "engine/connectors/file/table_file.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

// Of a row group, before it is compressed: what waits in memory for its end.
constexpr std::int64_t kGroupBytes = 64 << 20;
constexpr std::int64_t kGroupRows = 1 << 20;
// So many row groups stay as they are, however small; more of them are written anew, together.
constexpr int kSmallGroups = 16;
constexpr std::int64_t kFooterTail = 8;  // bytes: the footer's length and the magic number
constexpr std::int64_t kOldBatchRows = 16LL * 1024;
constexpr std::int64_t kOldBatchBytes = 4 << 20;

// Of a row group's rows as Arrow holds them. Encoded, long texts that repeat are next to nothing.
std::int64_t bytes_in_memory(const parquet::RowGroupMetaData& group) {
  constexpr int kDecimal = 16;  // bytes in memory; Parquet has fewer of short ones
  std::int64_t out = 0;
  for (int i = 0; i < group.num_columns(); ++i) {
    const auto chunk = group.ColumnChunk(i);
    const auto sizes = chunk->size_statistics();
    out += sizes ? sizes->unencoded_byte_array_data_bytes.value_or(0)
                 : chunk->total_uncompressed_size();
    const auto& column = *group.schema()->Column(i);
    const int width = column.physical_type() == parquet::Type::FIXED_LEN_BYTE_ARRAY
                          ? std::max(column.type_length(), kDecimal)
                          : parquet::GetTypeByteSize(column.physical_type());
    out += group.num_rows() * width;
  }
  return out;
}

// Where Parquet writes; keeps the error that Arrow's own would lose the remedy of.
class Sink final : public arrow::io::OutputStream {
 public:
  explicit Sink(OutFile file) : file_(std::move(file)) {}

  using arrow::io::OutputStream::Write;
  arrow::Status Write(const void* data, std::int64_t size) override {
    error_ = file_.put({static_cast<const char*>(data), static_cast<std::size_t>(size)});
    if (!error_) return arrow::Status::IOError(error_.error().message);
    position_ += size;
    return arrow::Status::OK();
  }
  // The first bytes of another file, behind those that both have: Parquet writes its magic number
  // at once, and at the start of a file only.
  Status copy(const OldFile& old, std::int64_t bytes) {
    if (lseek(old.fd, position_, SEEK_SET) < 0) return io_error("read", old.path, errno);
    TG_CHECK(file_.append_file(old.fd, bytes - position_));
    struct stat st{};
    if (fstat(file_.fd(), &st) != 0) return io_error("read", file_.path(), errno);
    if (st.st_size != bytes) return changed_by_somebody(old.path, "it has become shorter");
    position_ = bytes;
    return {};
  }
  arrow::Result<std::int64_t> Tell() const override { return position_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

  OutFile& file() { return file_; }
  const Status& error() const { return error_; }

 private:
  OutFile file_;
  Status error_;
  std::int64_t position_ = 0;
  bool closed_ = false;
};

// JSON columns are Arrow's extension type, which Parquet marks as JSON.
std::shared_ptr<arrow::Schema> written_schema(const arrow::Schema& schema) {
  arrow::FieldVector fields;
  for (const auto& field : schema.fields()) {
    fields.push_back(is_json(*field) ? arrow::field(field->name(), arrow::extension::json())
                                     : field);
  }
  return arrow::schema(std::move(fields));
}

class ParquetTable final : public TableFile {
 public:
  ParquetTable(OutFile out, std::shared_ptr<arrow::Schema> schema)
      : sink_(std::make_shared<Sink>(std::move(out))),
        schema_(std::move(schema)),
        written_(written_schema(*schema_)) {}

  // Row groups of the old file stay as they are, and their entries of its footer come into the new
  // one, where the columns are the same and the groups not too many; else its rows are written
  // anew.
  Status begin(const OldFile& old, const std::shared_ptr<arrow::Schema>& before) {
    const auto properties = parquet::WriterProperties::Builder()
                                .compression(arrow::Compression::ZSTD)
                                ->compression_level(1)
                                ->max_row_group_length(kGroupRows)
                                ->build();
    const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
    TG_CHECK(writing([&] {
      return parquet::arrow::FileWriter::Open(*written_, arrow::default_memory_pool(), sink_,
                                              properties, arrow_properties)
          .Value(&writer_);
    }));
    if (old.fd >= 0 && before->Equals(*schema_, /*check_metadata=*/true)) {
      std::shared_ptr<parquet::SchemaDescriptor> wanted;
      TG_CHECK(writing([&] {
        return parquet::arrow::ToParquetSchema(written_.get(), *properties, *arrow_properties,
                                               &wanted);
      }));
      TG_CHECK(keep_groups(old, *wanted));
    }
    return old.fd >= 0 && !kept_ ? copy_rows(old) : Status{};
  }

  Status write(const arrow::RecordBatch& rows) override {
    arrow::ArrayVector columns;
    for (int i = 0; i < rows.num_columns(); ++i) {
      const auto& type = written_->field(i)->type();
      columns.push_back(type->id() == arrow::Type::EXTENSION
                            ? arrow::ExtensionType::WrapArray(type, rows.column(i))
                            : rows.column(i));
    }
    const auto batch = arrow::RecordBatch::Make(written_, rows.num_rows(), std::move(columns));
    if (waiting_ >= kGroupBytes) {
      TG_CHECK(writing([&] { return writer_->NewBufferedRowGroup(); }));
      waiting_ = 0;
    }
    for (const auto& column : rows.columns()) {
      const auto bytes = arrow::util::ReferencedBufferSize(*column->data());
      waiting_ += bytes.ok() ? *bytes : 0;
    }
    return writing([&] { return writer_->WriteRecordBatch(*batch); });
  }

  Result<std::optional<std::int64_t>> finish() override {
    TG_CHECK(writing([&]() -> arrow::Status {
      ARROW_RETURN_NOT_OK(writer_->Close());
      if (!kept_) return arrow::Status::OK();
      // The last footer counts; the one before it, of the new row groups alone, is passed over.
      kept_->AppendRowGroups(*writer_->metadata());
      return parquet::arrow::WriteFileMetaData(*kept_, sink_.get());
    }));
    TG_CHECK(sink_->file().finish());
    const std::string& path = sink_->file().path();
    std::int64_t rows = 0;
    TG_TRY(const auto reader,
           open_parquet(sink_->file().fd(), path, arrow::TimeUnit::MICRO, kOldBatchRows));
    TG_CHECK(reading_parquet(path, [&] {
      rows = reader->parquet_reader()->metadata()->num_rows();
      return arrow::Status::OK();
    }));
    return rows;
  }

 private:
  template <class Call>
  Status writing(const Call& call) {
    const arrow::Status status = arrow_call(call);
    if (!sink_->error()) return sink_->error();
    if (status.ok()) return {};
    return fail(
        from_arrow(status, fmt::format("cannot write '{}' as Parquet", sink_->file().path())));
  }

  Status keep_groups(const OldFile& old, const parquet::SchemaDescriptor& wanted) {
    TG_TRY(const auto reader,
           open_parquet(old.fd, old.path, arrow::TimeUnit::MICRO, kOldBatchRows));
    std::shared_ptr<parquet::FileMetaData> footer;
    TG_CHECK(reading_parquet(old.path, [&] {
      footer = reader->parquet_reader()->metadata();
      std::int64_t bytes = 0;
      for (int i = 0; i < footer->num_row_groups(); ++i) {
        bytes += bytes_in_memory(*footer->RowGroup(i));
      }
      // Beside what ends a group: written anew, full ones would be as many again.
      const std::int64_t most =
          kSmallGroups + bytes / (kGroupBytes / 4) + footer->num_rows() / (kGroupRows / 4);
      if (footer->num_row_groups() > most || !footer->schema()->Equals(wanted)) footer.reset();
      return arrow::Status::OK();
    }));
    if (!footer) return {};
    struct stat st{};
    if (fstat(old.fd, &st) != 0) return io_error("read", old.path, errno);
    TG_CHECK(sink_->copy(old, st.st_size - kFooterTail - footer->size()));
    kept_ = std::move(footer);
    return {};
  }

  // In pieces of one row group each, so that never more than one of them is in memory.
  Status copy_rows(const OldFile& old) {
    TG_TRY(const auto reader,
           open_parquet(old.fd, old.path, arrow::TimeUnit::MICRO, kOldBatchRows));
    for (int group = 0; group < reader->num_row_groups(); ++group) {
      TG_CHECK(copy_group(*reader, group, old));
    }
    return {};
  }

  Status copy_group(parquet::arrow::FileReader& reader, int group, const OldFile& old) {
    std::unique_ptr<arrow::RecordBatchReader> batches;
    TG_CHECK(reading_parquet(old.path, [&] {
      reader.set_batch_size(rows_of_a_batch(*reader.parquet_reader()->metadata()->RowGroup(group)));
      return reader.GetRecordBatchReader({group}).Value(&batches);
    }));
    for (;;) {
      std::shared_ptr<arrow::RecordBatch> batch;
      TG_CHECK(reading_parquet(old.path, [&] { return batches->ReadNext(&batch); }));
      if (!batch) return {};
      if (batch->num_columns() > schema_->num_fields()) {
        return changed_by_somebody(old.path, "it has columns that were not written");
      }
      TG_CHECK(copy_batch(*batch, old.path));
    }
  }

  static std::int64_t rows_of_a_batch(const parquet::RowGroupMetaData& group) {
    const std::int64_t bytes = std::max<std::int64_t>(1, bytes_in_memory(group));
    return std::clamp<std::int64_t>(group.num_rows() * kOldBatchBytes / bytes, 1, kOldBatchRows);
  }

  // New columns come behind the old ones, and are NULL in old rows.
  Status copy_batch(const arrow::RecordBatch& batch, const std::string& path) {
    arrow::ArrayVector columns;
    for (int i = 0; i < schema_->num_fields(); ++i) {
      const arrow::Field& to = *schema_->field(i);
      const bool is_new = i >= batch.num_columns();
      const auto from =
          is_new ? arrow::field(to.name(), arrow::null()) : plain(*batch.schema()->field(i));
      if (from->name() != to.name()) {
        return changed_by_somebody(path, "it has columns that were not written");
      }
      std::shared_ptr<arrow::Array> array = std::make_shared<arrow::NullArray>(batch.num_rows());
      if (!is_new) {
        TG_CHECK(
            reading_parquet(path, [&] { return as_plain(batch.column(i), *from).Value(&array); }));
      }
      std::vector<std::int64_t> bad;
      TG_TRY(array, cast_exactly(array, *from, to, bad));
      if (!bad.empty()) {
        return fail(Code::Invalid,
                    fmt::format("the column \"{}\" is to be {} now, which values that are in '{}' "
                                "have no exact form as; exclude it, or reset the job (--reset, or "
                                "`tidegate jobs reset`)",
                                to.name(), type_words(to), path),
                    "schema_changed");
      }
      columns.push_back(std::move(array));
    }
    return write(*arrow::RecordBatch::Make(schema_, batch.num_rows(), std::move(columns)));
  }

  std::shared_ptr<Sink> sink_;
  const std::shared_ptr<arrow::Schema> schema_, written_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::shared_ptr<parquet::FileMetaData> kept_;  // of the row groups that stay; null: none do
  std::int64_t waiting_ = 0;                     // bytes of the row group
};

}  // namespace

Result<std::unique_ptr<TableFile>> make_parquet_table(const NewFile& file, const FileLayout& layout,
                                                      const OldFile& old) {
  TG_TRY(OutFile out, OutFile::create(file.dir, file.name, file.path));
  auto table = std::make_unique<ParquetTable>(std::move(out), layout.schema);
  TG_CHECK(table->begin(old, layout.before));
  return table;
}

}  // namespace tidegate::engine::file
