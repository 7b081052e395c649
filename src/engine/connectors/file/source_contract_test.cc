// The shared contract suite of sources over the three formats.

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <parquet/arrow/writer.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>

#include "engine/connectors/file/file_connector.h"
#include "engine/contract/source_contract.h"
#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

boost::json::object files_of(const std::string& folder) { return {{"path", folder}}; }

bool is_text(const arrow::RecordBatch& rows, int column) {
  return rows.column(column)->type_id() == arrow::Type::STRING;
}

void make_csv(const std::string& folder, const std::string& entity,
              const arrow::RecordBatch& rows) {
  std::ofstream out(folder + "/" + entity + ".csv", std::ios::binary);
  for (int c = 0; c < rows.num_columns(); ++c) out << (c == 0 ? "" : ",") << rows.column_name(c);
  for (std::int64_t row = 0; row < rows.num_rows(); ++row) {
    for (int c = 0; c < rows.num_columns(); ++c) {
      std::string text = value_text(*rows.column(c), row).value_or("");
      if (is_text(rows, c) && rows.column(c)->IsValid(row)) {
        for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) {
          text.insert(at, 1, '"');
        }
        text = '"' + text + '"';
      }
      out << (c == 0 ? "\n" : ",") << text;
    }
  }
  out << "\n";
}

void make_jsonl(const std::string& folder, const std::string& entity,
                const arrow::RecordBatch& rows) {
  std::ofstream out(folder + "/" + entity + ".jsonl", std::ios::binary);
  for (std::int64_t row = 0; row < rows.num_rows(); ++row) {
    for (int c = 0; c < rows.num_columns(); ++c) {
      std::string text = value_text(*rows.column(c), row).value_or("null");
      if (is_text(rows, c) && rows.column(c)->IsValid(row)) {
        text = boost::json::serialize(boost::json::value(text));
      }
      out << (c == 0 ? "{" : ",") << '"' << rows.column_name(c) << "\":" << text;
    }
    out << "}\n";
  }
}

void make_parquet(const std::string& folder, const std::string& entity,
                  const arrow::RecordBatch& rows) {
  // Another name first: a file that is being read is never written into.
  const std::string path = folder + "/" + entity + ".parquet";
  auto out = *arrow::io::FileOutputStream::Open(path + ".new");
  const auto table = *arrow::Table::FromRecordBatches(
      rows.schema(), {arrow::RecordBatch::Make(rows.schema(), rows.num_rows(), rows.columns())});
  EXPECT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, 10'000).ok());
  EXPECT_TRUE(out->Close().ok());
  std::filesystem::rename(path + ".new", path);
}

// The second half is cut off.
template <const char* kEnding>
void cut(const std::string& folder, const std::string& entity) {
  const std::string path = folder + "/" + entity + kEnding;
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
}

constexpr char kCsv[] = ".csv", kJsonl[] = ".jsonl", kParquet[] = ".parquet";

TIDEGATE_SOURCE_CONTRACT(Csv, (SourceUnderTest{.name = "csv",
                                               .connector = &file_connector,
                                               .config = &files_of,
                                               .make = &make_csv,
                                               .damage = &cut<kCsv>}));
TIDEGATE_SOURCE_CONTRACT(Jsonl, (SourceUnderTest{.name = "jsonl",
                                                 .connector = &file_connector,
                                                 .config = &files_of,
                                                 .make = &make_jsonl,
                                                 .damage = &cut<kJsonl>,
                                                 .keeps_empty_columns = false}));
TIDEGATE_SOURCE_CONTRACT(Parquet, (SourceUnderTest{.name = "parquet",
                                                   .connector = &file_connector,
                                                   .config = &files_of,
                                                   .make = &make_parquet,
                                                   .damage = &cut<kParquet>}));

}  // namespace
}  // namespace tidegate::engine
