#include "engine/connectors/postgres/copy_decoder.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "protocol/fields.h"

namespace tidegate::engine::postgres {
namespace {

constexpr std::string_view kSignature{"PGCOPY\n\377\r\n\0", 11};
constexpr std::size_t kRawValue = 256, kRawRow = 4096;

std::unexpected<Error> broken() {
  return fail(Code::Internal, "PostgreSQL sent what is no binary COPY; this is a defect");
}

// The bytes of a value for a person, who knows the column: text where it is one, else hexadecimal.
std::string shown(std::string_view bytes) {
  if (is_utf8(bytes) && bytes.find('\0') == std::string_view::npos) {
    return std::string(clip(bytes, kRawValue));
  }
  std::string out = "\\x";
  for (const char c : bytes.substr(0, kRawValue)) {
    out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::int64_t read_int(const char* at, int bytes) {
  std::uint64_t v = (static_cast<unsigned char>(*at) & 0x80U) != 0 ? ~0ULL : 0;
  for (int i = 0; i < bytes; ++i) v = v << 8 | static_cast<unsigned char>(at[i]);
  return static_cast<std::int64_t>(v);
}

Status CopyDecoder::take(std::string_view piece) {
  bytes_ += static_cast<std::int64_t>(piece.size());
  if (!begun_) {
    if (piece.size() < 19 || !piece.starts_with(kSignature)) return broken();
    const std::int64_t extension = read_int(piece.data() + 15, 4);
    if (extension < 0 || static_cast<std::size_t>(extension) > piece.size() - 19) return broken();
    piece.remove_prefix(19 + static_cast<std::size_t>(extension));
    begun_ = true;
  }
  while (!piece.empty()) {
    if (ended_ || piece.size() < 2) return broken();
    const auto fields = static_cast<int>(read_int(piece.data(), 2));
    piece.remove_prefix(2);
    if (fields == -1) {
      ended_ = true;
      continue;
    }
    TG_CHECK(take_row(piece, fields));
  }
  return {};
}

Status CopyDecoder::take_row(std::string_view& left, int fields) {
  if (fields != static_cast<int>(columns_.size())) return broken();
  values_.clear();
  for (int i = 0; i < fields; ++i) {
    if (left.size() < 4) return broken();
    const std::int64_t length = read_int(left.data(), 4);
    left.remove_prefix(4);
    if (length == -1) {
      values_.emplace_back();
      continue;
    }
    if (length < 0 || static_cast<std::size_t>(length) > left.size()) return broken();
    values_.push_back(left.substr(0, static_cast<std::size_t>(length)));
    left.remove_prefix(static_cast<std::size_t>(length));
  }
  std::string why;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (values_[i].data() == nullptr) {
      TG_CHECK(columns_[i]->append_null());
      continue;
    }
    const std::string problem = columns_[i]->append(values_[i]);
    if (problem.empty()) continue;
    why += fmt::format("{}column \"{}\": {}", why.empty() ? "" : "; ",
                       schema_->field(static_cast<int>(i))->name(), problem);
  }
  if (!why.empty()) {
    boost::json::object raw;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      auto& value = raw[protocol::to_utf8(schema_->field(static_cast<int>(i))->name())];
      if (values_[i].data() != nullptr) value = shown(values_[i]);
    }
    refused_.push_back({rows_, std::move(why), std::string(clip(json::write(raw), kRawRow))});
  }
  ++rows_;
  return {};
}

Result<CopyDecoder::Taken> CopyDecoder::finish() {
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

}  // namespace tidegate::engine::postgres
