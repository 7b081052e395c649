#pragma once
// For tests of the source: a folder of files, and what reading them gives.

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/connectors/file/file_connector.h"
#include "engine/connectors/file/value_text.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {

struct Read {
  std::string types;              // `a:integer b:text`
  std::vector<std::string> rows;  // `1|x`; NULL is ∅
  std::vector<std::string> bad;   // `b.csv line 3: reason`
  std::optional<std::int64_t> announced;
  std::optional<Error> error;
};

// For which every file of a test is long written.
class LaterClock final : public Clock {
 public:
  Instant now() const override { return SystemClock().now() + std::chrono::hours(1); }
  BootInstant boot_now() const override { return SystemClock().boot_now(); }
};

class FileSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "tidegate-file-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    paths_ = PathPolicy({folder_}, {});
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }
  void write_gzip(const std::string& name, const std::string& text, const char* mode = "wb") {
    const gzFile f = gzopen((folder_ + "/" + name).c_str(), mode);
    ASSERT_EQ(gzwrite(f, text.data(), static_cast<unsigned>(text.size())),
              static_cast<int>(text.size()));
    gzclose(f);
  }

  Result<std::unique_ptr<Source>> source(const std::string& config) {
    return file_connector().make_source(boost::json::parse(config).as_object(), context_);
  }

  // Reads all of one entity, or the first `columns` of it.
  Read read(const std::string& config, const std::string& entity,
            std::vector<std::string> columns = {}) {
    Read out;
    const auto made = source(config);
    if (!made) return {.error = made.error()};
    const auto catalog = (*made)->discover({});
    if (!catalog) return {.error = catalog.error()};
    for (const auto& bad : catalog->bad) {
      if (bad.name == entity) return {.error = bad.error};
    }
    const auto info = std::ranges::find(catalog->entities, entity, &EntityInfo::name);
    if (info == catalog->entities.end()) {
      return {.error = Error{Code::NotFound, "no entity " + entity, "", {}}};
    }
    for (const auto& f : info->schema->fields()) {
      const std::string type = is_json(*f) ? "json" : f->type()->ToString();
      out.types += fmt::format("{}{}:{}", out.types.empty() ? "" : " ", f->name(), type);
    }
    out.announced = info->rows;
    if (columns.empty()) columns = info->schema->field_names();
    read_rows(**made, {.entity = entity, .columns = columns}, out);
    return out;
  }

  static void read_rows(Source& source, const ReadParams& params, Read& out) {
    const auto partitions = source.plan(params);
    if (!partitions) {
      out.error = partitions.error();
      return;
    }
    for (const auto& partition : *partitions) {
      const auto reader = source.open(params, partition);
      if (!reader) {
        out.error = reader.error();
        return;
      }
      for (;;) {
        auto batch = (*reader)->next();
        if (!batch) out.error = batch.error();
        if (!batch || !*batch) break;
        ASSERT_TRUE((*batch)->batch->ValidateFull().ok());
        ASSERT_LE((*batch)->batch->num_rows(), kMaxBatchRows);
        EXPECT_TRUE((*batch)->batch->schema()->Equals(*(*reader)->schema()));
        for (const auto& b : (*batch)->rejected) {
          out.bad.push_back(fmt::format("{}: {}", b.locator, b.reason));
        }
        add_rows(*(*batch)->batch, out.rows);
      }
    }
  }

  static void add_rows(const arrow::RecordBatch& batch, std::vector<std::string>& rows) {
    for (std::int64_t r = 0; r < batch.num_rows(); ++r) {
      std::string text;
      for (int c = 0; c < batch.num_columns(); ++c) {
        if (c > 0) text += '|';
        if (batch.column(c)->IsNull(r)) {
          text += "∅";
        } else {
          append_text(text, *batch.column(c), r);
        }
      }
      rows.push_back(std::move(text));
    }
  }

  std::string folder_;
  LaterClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  const Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
};

}  // namespace tidegate::engine::file
