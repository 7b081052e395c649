#include "engine/contract/changing_table.h"

#include <arrow/array.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/builder_time.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <tuple>

namespace tidegate::engine::contract {
namespace {

constexpr std::size_t kPageRows = 3;
constexpr std::size_t kUnaskedPageRows = 100;

// In the column's own unit.
struct Bounds {
  std::optional<std::int64_t> from, to;
  bool strict = false;

  bool hold(const std::optional<std::int64_t>& at) const {
    if (!at) return true;
    return (!from || *at > *from || (*at == *from && !strict)) && (!to || *at <= *to);
  }
};

std::optional<std::int64_t> in_unit(const std::optional<CursorValue>& v) {
  if (!v) return std::nullopt;
  if (v->kind() != CursorKind::Timestamp) return v->as_integer();
  return static_cast<std::int64_t>(v->as_ns() / 1000);
}

void must(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

// Its pages were made when it was opened.
class PageReader final : public Reader {
 public:
  PageReader(std::shared_ptr<arrow::Schema> schema, std::vector<std::vector<RowVersion>> pages,
             std::optional<int> fails_at)
      : schema_(std::move(schema)), pages_(std::move(pages)), fails_at_(fails_at) {}
  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  Result<std::optional<ReadBatch>> next() override {
    if (fails_at_ == static_cast<int>(at_)) return fail(Code::Unavailable, "the source is away");
    if (at_ == pages_.size()) return std::nullopt;
    return ReadBatch{.batch = batch_of(pages_[at_++], schema_), .bytes = 1, .rejected = {}};
  }

 private:
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::vector<RowVersion>> pages_;
  std::optional<int> fails_at_;
  std::size_t at_ = 0;
};

// Asks for each page when it is its turn: the rows behind the last one that came.
class OrderedReader final : public Reader {
 public:
  OrderedReader(ChangingTable& table, Bounds bounds) : table_(table), bounds_(bounds) {}
  std::shared_ptr<arrow::Schema> schema() const override { return table_.schema(); }
  bool ordered_by_cursor() const override { return true; }
  Result<std::optional<ReadBatch>> next() override {
    const int page = std::min(page_++, ChangingTable::kMostPages);
    if (table_.reading.fails_at == page) return fail(Code::Unavailable, "the source is away");
    const auto place = [](const RowVersion& r) { return std::tuple(r.at, r.row); };
    std::vector<RowVersion> rows;
    for (const auto& [row, version] :
         table_.look(table_.read_at + page * table_.reading.page_takes)) {
      if (bounds_.hold(version.at) && (!last_ || place(version) > *last_)) rows.push_back(version);
    }
    if (rows.empty()) return std::nullopt;
    std::ranges::sort(rows, {}, place);  // NULL is less than any value
    rows.resize(std::min(rows.size(), kPageRows));
    last_ = place(rows.back());
    return ReadBatch{.batch = batch_of(rows, schema()), .bytes = 1, .rejected = {}};
  }

 private:
  ChangingTable& table_;
  const Bounds bounds_;
  int page_ = 0;
  std::optional<std::tuple<std::optional<std::int64_t>, std::int64_t>> last_;
};

}  // namespace

std::shared_ptr<arrow::RecordBatch> batch_of(const std::vector<RowVersion>& rows,
                                             const std::shared_ptr<arrow::Schema>& schema) {
  arrow::Int64Builder id;
  arrow::Int64Builder v;
  const auto type = schema->field(2)->type();
  const auto at = arrow::MakeBuilder(type).ValueOrDie();
  const auto add = [&](std::int64_t value) {
    if (type->id() == arrow::Type::DATE32) {
      return static_cast<arrow::Date32Builder&>(*at).Append(static_cast<std::int32_t>(value));
    }
    if (type->id() == arrow::Type::INT64) {
      return static_cast<arrow::Int64Builder&>(*at).Append(value);
    }
    const bool millis = type->Equals(arrow::timestamp(arrow::TimeUnit::MILLI));
    return static_cast<arrow::TimestampBuilder&>(*at).Append(millis ? value / 1000 : value);
  };
  for (const RowVersion& row : rows) {
    must(id.Append(row.id));
    must(v.Append(row.v));
    must(row.at ? add(*row.at) : at->AppendNull());
  }
  return arrow::RecordBatch::Make(
      schema, static_cast<std::int64_t>(rows.size()),
      {id.Finish().ValueOrDie(), v.Finish().ValueOrDie(), at->Finish().ValueOrDie()});
}

std::shared_ptr<arrow::Schema> ChangingTable::schema() const {
  const std::shared_ptr<arrow::DataType> types[] = {arrow::timestamp(arrow::TimeUnit::MICRO),
                                                    arrow::timestamp(arrow::TimeUnit::MILLI),
                                                    arrow::int64(), arrow::date32()};
  return arrow::schema({arrow::field("id", arrow::int64()), arrow::field("v", arrow::int64()),
                        arrow::field("at", types[static_cast<std::size_t>(cursor)])});
}

const std::map<std::int64_t, RowVersion>& ChangingTable::look(Micros at) {
  const auto end = history_.lower_bound(at);
  for (auto it = history_.lower_bound(looked_at_); it != end; ++it)
    seen_[it->second.row] = it->second;
  looked_at_ = at;
  return seen_;
}

std::shared_ptr<arrow::RecordBatch> ChangingTable::all(Micros at) {
  std::vector<RowVersion> rows;
  for (const auto& [row, version] : look(at)) rows.push_back(version);
  return batch_of(rows, schema());
}

Result<Catalog> ChangingTable::discover(const Wanted&) {
  Catalog catalog;
  EntityInfo info;
  info.name = "t";
  info.schema = schema();
  catalog.entities.push_back(std::move(info));
  return catalog;
}

Result<std::unique_ptr<Reader>> ChangingTable::open(const ReadParams& params, const Partition&) {
  const Bounds bounds{in_unit(params.from), in_unit(params.to), reading.strict};
  if (reading.ordered) return std::make_unique<OrderedReader>(*this, bounds);
  const bool unasked = !reading.strict && rng_.below(4) == 0;
  std::vector<RowVersion> rows;
  for (const auto& [row, version] : look(read_at)) {
    if (unasked || bounds.hold(version.at)) {
      rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(rng_.below(rows.size() + 1)), version);
    }
  }
  std::vector<std::vector<RowVersion>> pages;
  const std::size_t n = unasked ? kUnaskedPageRows : kPageRows;
  for (auto rest = std::span(rows); !rest.empty(); rest = rest.subspan(std::min(n, rest.size()))) {
    const auto page = rest.first(std::min(n, rest.size()));
    pages.emplace_back(page.begin(), page.end());
  }
  if (reading.repeats && pages.size() > 1 && rng_.below(4) == 0) {
    pages.push_back(pages[rng_.below(pages.size())]);
    ++repeated_pages;
  }
  return std::make_unique<PageReader>(schema(), std::move(pages), reading.fails_at);
}

}  // namespace tidegate::engine::contract
