#include "engine/connectors/mysql/row_decoder.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "protocol/fields.h"

namespace tidegate::engine::mysql {
namespace {

constexpr std::size_t kRawValue = 256, kRawRow = 4096;

// For a person, who knows the column: text where it is one, else hexadecimal.
std::string shown(std::string_view bytes) {
  if (is_utf8(bytes) && bytes.find('\0') == std::string_view::npos) {
    return std::string(clip(bytes, kRawValue));
  }
  std::string out = "0x";
  for (const char c : bytes.substr(0, kRawValue)) {
    out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

Status RowDecoder::take(const std::vector<std::string_view>& values) {
  if (values.size() != columns_.size())
    return fail(Code::Internal, "MySQL sent another number of columns; this is a defect");
  std::string why;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    bytes_ += static_cast<std::int64_t>(values[i].size()) + 1;
    if (values[i].data() == nullptr) {
      TG_CHECK(columns_[i]->append_null());
      continue;
    }
    const std::string problem = columns_[i]->append(values[i]);
    if (problem.empty()) continue;
    why += fmt::format("{}column \"{}\": {}", why.empty() ? "" : "; ",
                       schema_->field(static_cast<int>(i))->name(), problem);
  }
  if (!why.empty()) {
    boost::json::object raw;
    for (std::size_t i = 0; i < values.size(); ++i) {
      auto& value = raw[protocol::to_utf8(schema_->field(static_cast<int>(i))->name())];
      if (values[i].data() != nullptr) value = shown(values[i]);
    }
    refused_.push_back({rows_, std::move(why), std::string(clip(json::write(raw), kRawRow))});
  }
  ++rows_;
  return {};
}

Result<RowDecoder::Taken> RowDecoder::finish() {
  Taken out;
  arrow::ArrayVector arrays;
  for (const auto& column : columns_) {
    TG_TRY(auto array, column->finish());
    arrays.push_back(std::move(array));
  }
  out.batch = arrow::RecordBatch::Make(schema_, rows_, std::move(arrays));
  out.bytes = std::exchange(bytes_, 0);
  out.refused = std::exchange(refused_, {});
  rows_ = 0;
  return out;
}

}  // namespace tidegate::engine::mysql
