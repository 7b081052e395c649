// Rows, bounds, order and errors: what the engine relies on in every source.

#include "engine/contract/source_contract.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "engine/contract/scripted_source.h"
#include "engine/core/bound.h"
#include "engine/core/selection.h"

namespace tidegate::engine::contract {

int link_source_suite() { return 1; }

std::ostream& operator<<(std::ostream& out, const SourceUnderTest& s) { return out << s.name; }

SourceContract::SourceContract() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "tidegate-source-XXXXXX").string();
  folder_ = mkdtemp(pattern.data());
  context_ = std::make_unique<Context>(
      Context{.clock = clock_, .rng = rng_, .paths = paths_, .stop = stop_.get_token()});
}

SourceContract::~SourceContract() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SourceContract::make(const std::string& entity,
                          const std::shared_ptr<arrow::RecordBatch>& rows) {
  GetParam().make(folder_, entity, *rows);
}

std::unique_ptr<Source> SourceContract::source() {
  auto s = GetParam().connector().make_source(GetParam().config(folder_), *context_);
  if (!s) throw std::runtime_error(describe(s.error()));
  return std::move(*s);
}

EntityInfo SourceContract::discovered(Source& source, const std::string& entity) {
  const auto catalog = source.discover({});
  if (!catalog) throw std::runtime_error(describe(catalog.error()));
  const auto info = std::ranges::find(catalog->entities, entity, &EntityInfo::name);
  if (info == catalog->entities.end()) throw std::runtime_error("not discovered: " + entity);
  return *info;
}

std::vector<std::string> SourceContract::made_columns(const EntityInfo& info) {
  std::vector<std::string> names = info.schema->field_names();
  for (const auto& own : GetParam().own_columns) {
    if (!names.empty() && names.front() == own) names.erase(names.begin());
  }
  return names;
}

ReadParams SourceContract::everything(const EntityInfo& info) {
  ReadParams params;
  params.entity = info.name;
  params.columns = info.schema->field_names();
  return params;
}

Result<SourceContract::Batches> SourceContract::read(Source& source, const ReadParams& params) {
  TG_TRY(const auto partitions, source.plan(params));
  EXPECT_FALSE(partitions.empty());
  Batches out;
  for (const auto& partition : partitions) {
    TG_TRY(const auto reader, source.open(params, partition));
    EXPECT_EQ(reader->schema()->field_names(), params.columns);
    for (;;) {
      TG_TRY(const auto batch, reader->next());
      if (!batch) break;
      EXPECT_TRUE(batch->batch->ValidateFull().ok());
      EXPECT_TRUE(batch->batch->schema()->Equals(*reader->schema()));
      EXPECT_LE(batch->batch->num_rows(), kMaxBatchRows);
      EXPECT_TRUE(batch->rejected.empty()) << batch->rejected.front().reason;
      out.push_back(batch->batch);
    }
  }
  return out;
}

namespace {

using Texts = std::vector<std::string>;

std::shared_ptr<arrow::Schema> columns() {
  return arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64()),
                        arrow::field("name", arrow::utf8()),
                        arrow::field("ratio", arrow::float64())});
}

// `n` rows; every tenth without a cursor value, no order in the others, texts of `width` bytes.
std::shared_ptr<arrow::RecordBatch> many(std::int64_t n, std::size_t width) {
  arrow::Int64Builder id, at;
  arrow::StringBuilder name;
  arrow::DoubleBuilder ratio;
  for (std::int64_t i = 0; i < n; ++i) {
    EXPECT_TRUE(id.Append(i).ok());
    EXPECT_TRUE((i % 10 == 3 ? at.AppendNull() : at.Append(i * 7919 % n)).ok());
    EXPECT_TRUE(name.Append(fmt::format("{}{}", i, std::string(width, 'x'))).ok());
    EXPECT_TRUE(ratio.Append(static_cast<double>(i) + 0.5).ok());
  }
  return arrow::RecordBatch::Make(columns(), n,
                                  {*id.Finish(), *at.Finish(), *name.Finish(), *ratio.Finish()});
}

Texts texts(const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches) {
  return row_texts(batches, columns()->field_names());
}

TEST_P(SourceContract, DiscoverShowsEveryEntityWithItsColumnsAndTypes) {
  const auto rows = batch_of(columns(), R"([[1, 10, "a", 0.5], [2, null, null, 1.5]])");
  make("orders", rows);
  make("Other one", rows);
  const auto s = source();
  EXPECT_TRUE(s->check());
  for (const char* name : {"orders", "Other one"}) {
    const EntityInfo info = discovered(*s, name);
    EXPECT_EQ(made_columns(info), columns()->field_names());
    for (const auto& f : columns()->fields()) {
      EXPECT_TRUE(info.schema->GetFieldByName(f->name())->type()->Equals(f->type())) << f->name();
    }
    EXPECT_EQ(info.rows.value_or(2), 2);
  }
  const auto sampled = s->sample();
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->entities.size(), 2U);
  EXPECT_EQ(s->identity(), source()->identity());
}

TEST_P(SourceContract, ARealReadGivesEveryRowOnceInBoundedBatches) {
  const auto rows = many(GetParam().many_rows, 10);
  make("t", rows);
  const auto s = source();
  const auto got = read(*s, everything(discovered(*s, "t")));
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_GT(got->size(), 1U);
  EXPECT_EQ(texts(*got), texts({rows}));
}

TEST_P(SourceContract, BatchesOfLongRowsAreBoundedInBytes) {
  const auto rows = many(48, 512 << 10);
  make("t", rows);
  const auto s = source();
  const auto got = read(*s, everything(discovered(*s, "t")));
  ASSERT_TRUE(got) << describe(got.error());
  std::int64_t n = 0;
  for (const auto& batch : *got) {
    n += batch->num_rows();
    EXPECT_LE(*arrow::util::ReferencedBufferSize(*batch), kMaxBatchBytes + (4 << 20));
  }
  EXPECT_EQ(n, 48);
}

TEST_P(SourceContract, OnlyTheColumnsAskedForComeInTheirOrder) {
  make("t", batch_of(columns(), R"([[1, 10, "a", 0.5], [2, 20, "", 1.5]])"));
  const auto s = source();
  ReadParams params = everything(discovered(*s, "t"));
  params.columns = {"name", "id"};
  const auto got = read(*s, params);
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(row_texts(*got, {"id", "name"}), (Texts{"id=1|name=a", "id=2|name="}));
}

TEST_P(SourceContract, ValuesComeBackExactly) {
  const auto rows = batch_of(columns(), R"([[9223372036854775807, -9223372036854775808, "", 0.1],
      [0, null, "naïve \"x\", 😀\n", -123456.75], [-1, 0, "007", 2.5], [2, 1, null, null]])");
  make("t", rows);
  const auto s = source();
  const auto got = read(*s, everything(discovered(*s, "t")));
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(texts(*got), texts({rows}));
}

// The engine drops what is too much; what is too little is lost.
TEST_P(SourceContract, ABoundNeverLosesARowAndAnOrderThatIsClaimedIsKept) {
  const auto rows = many(5'000, 3);
  make("t", rows);
  const auto s = source();
  ReadParams params = everything(discovered(*s, "t"));
  params.cursor = "at";
  for (const std::int64_t from : {-1, 0, 2'500, 4'999, 5'000}) {
    params.from = CursorValue::integer(from);
    const auto got = read(*s, params);
    ASSERT_TRUE(got) << describe(got.error());
    const auto inside = [&](const auto& batches) {
      Texts out;
      for (const auto& batch : batches) {
        const auto at = batch->GetColumnByName("at");
        for (std::int64_t row = 0; row < batch->num_rows(); ++row) {
          const auto v = cursor_at(*at, row);
          if (!v || *v >= *params.from) out.push_back(texts({batch->Slice(row, 1)}).front());
        }
      }
      std::ranges::sort(out);
      return out;
    };
    EXPECT_EQ(inside(*got), inside(Batches{rows})) << from;
    const auto partitions = s->plan(params);
    if (partitions->size() != 1 || !(*s->open(params, partitions->front()))->ordered_by_cursor()) {
      continue;
    }
    std::optional<CursorValue> last;
    for (const auto& batch : *got) {
      const auto at = batch->GetColumnByName("at");
      for (std::int64_t row = 0; row < batch->num_rows(); ++row) {
        auto v = cursor_at(*at, row);
        EXPECT_TRUE(!last || (v && *v >= *last));
        last = std::move(v);
      }
    }
  }
}

TEST_P(SourceContract, AReadGoesOnFromAState) {
  make("t", batch_of(columns(), R"([[1, 10, "a", 0.5], [2, 20, "b", 0.5], [3, null, "c", 0.5]])"));
  EntityState state;
  const auto new_rows = [&] {
    const auto s = source();
    ReadParams params = everything(discovered(*s, "t"));
    params.cursor = "at";
    params.from = state.cursor;
    BoundFilter filter(
        {.entity = "t", .cursor = "at", .from = state.cursor, .to = {}, .known = state});
    Batches kept;
    for (const auto& batch : *read(*s, params)) kept.push_back(filter.apply(batch)->batch);
    EXPECT_TRUE(filter.save(state));
    return row_texts(kept, {"id"});
  };
  EXPECT_EQ(new_rows(), (Texts{"id=1", "id=2", "id=3"}));
  EXPECT_EQ(new_rows(), Texts{});
  // Late at the bound, behind it, and without a value; one before it is not seen.
  make("t", batch_of(columns(), R"([[1, 10, "a", 0.5], [2, 20, "b", 0.5], [3, null, "c", 0.5],
      [4, 20, "b", 0.5], [5, 21, "d", 0.5], [6, null, "e", 0.5], [7, 15, "f", 0.5]])"));
  EXPECT_EQ(new_rows(), (Texts{"id=4", "id=5", "id=6"}));
  EXPECT_EQ(new_rows(), Texts{});
}

TEST_P(SourceContract, OnlyWhatAFilterWantsIsLookedIntoAndTheRestIsNamed) {
  const auto rows = batch_of(columns(), R"([[1, 10, "a", 0.5]])");
  for (const char* name : {"a1", "a2", "b1", "c1"}) make(name, rows);
  protocol::RunSpec run;
  run.entity_filter = {"a*", "c1"};
  const auto catalog = source()->discover(wanted_by(run));
  ASSERT_TRUE(catalog);
  Texts names;
  for (const auto& e : catalog->entities) names.push_back(e.name);
  EXPECT_EQ(names, (Texts{"a1", "a2", "c1"}));
  EXPECT_EQ(catalog->others, Texts{"b1"});
}

TEST_P(SourceContract, AnEntityThatIsNotThereIsNamed) {
  make("t", batch_of(columns(), R"([[1, 10, "a", 0.5]])"));
  const auto s = source();
  ReadParams params = everything(discovered(*s, "t"));
  params.entity = "nowhere";
  const auto got = read(*s, params);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("nowhere"), std::string::npos) << got.error().message;
  params.entity = "t";
  params.columns = {"id", "no such"};
  const auto column = read(*s, params);
  ASSERT_FALSE(column);
  EXPECT_NE(column.error().message.find("no such"), std::string::npos) << column.error().message;
}

// regressions.md: a failed read that is taken for the end moves the state past rows never read.
TEST_P(SourceContract, AReadThatFailsIsAnErrorAndNotTheEnd) {
  make("t", many(40'000, 150));
  const auto s = source();
  const ReadParams params = everything(discovered(*s, "t"));
  GetParam().damage(folder_, "t");
  const auto got = read(*s, params);
  ASSERT_FALSE(got) << "a damaged entity was read to its end";
  EXPECT_NE(got.error().code, Code::Internal) << describe(got.error());
}

TEST_P(SourceContract, AStopEndsAReadSoon) {
  make("t", many(GetParam().many_rows, 10));
  const auto s = source();
  const ReadParams params = everything(discovered(*s, "t"));
  stop_.request_stop();
  const auto got = read(*s, params);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::Cancelled) << describe(got.error());
}

TEST_P(SourceContract, AnEntityWithoutRowsHasNone) {
  make("t", batch_of(columns(), "[]"));
  const auto s = source();
  const EntityInfo info = discovered(*s, "t");
  EXPECT_EQ(made_columns(info).size(), GetParam().keeps_empty_columns ? 4U : 0U);
  const auto got = read(*s, everything(info));
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(row_texts(*got, {}), Texts{});
}

TEST_P(SourceContract, WideRowsKeepEveryColumnInOrder) {
  arrow::FieldVector fields;
  std::string row;
  for (int i = 0; i < 400; ++i) {
    fields.push_back(arrow::field(fmt::format("c{}", i), arrow::int64()));
    row += fmt::format("{}{}", i == 0 ? "" : ", ", i);
  }
  const auto rows = batch_of(arrow::schema(fields), fmt::format("[[{}]]", row));
  make("t", rows);
  const auto s = source();
  const EntityInfo info = discovered(*s, "t");
  EXPECT_EQ(made_columns(info), rows->schema()->field_names());
  const auto got = read(*s, everything(info));
  ASSERT_TRUE(got) << describe(got.error());
  const Texts all = rows->schema()->field_names();
  EXPECT_EQ(row_texts(*got, all), row_texts({rows}, all));
}

TEST_P(SourceContract, AColumnThatCameMeanwhileIsFoundByTheNextDiscover) {
  make("t", batch_of(columns(), R"([[1, 10, "a", 0.5]])"));
  const auto s = source();
  EXPECT_EQ(made_columns(discovered(*s, "t")).size(), 4U);
  auto fields = columns()->fields();
  fields.push_back(arrow::field("extra", arrow::int64()));
  make("t", batch_of(arrow::schema(fields), R"([[1, 10, "a", 0.5, 7]])"));
  const EntityInfo info = discovered(*s, "t");
  EXPECT_EQ(made_columns(info).size(), 5U);
  const auto got = read(*s, everything(info));
  ASSERT_TRUE(got) << describe(got.error());
  EXPECT_EQ(row_texts(*got, {"id", "extra"}), Texts{"id=1|extra=7"});
}

}  // namespace
}  // namespace tidegate::engine::contract
