#include "control/store/postgres/params.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "protocol/fields.h"

namespace tidegate::store::postgres {
namespace {

constexpr std::int64_t kEpochMs = 946'684'800'000;  // 2000-01-01T00:00:00Z
// 4713-11-24 BC up to 294276-12-31 AD, the range of timestamptz.
constexpr std::int64_t kLeastMs = -210'866'803'200'000, kMostMs = 9'224'318'015'999'999;

}  // namespace

void put_int(std::string& out, std::int64_t v, int bytes) {
  const auto big = std::bit_cast<std::array<char, 8>>(std::byteswap(v));
  out.append(big.end() - bytes, big.end());
}

void put_text(std::string& out, std::string_view text) {
  const bool plain = std::ranges::all_of(text, [](char c) { return c > 0; });
  if (plain) {
    out += text;
    return;
  }
  for (const char c : protocol::to_utf8(text)) {
    c == '\0' ? out += "\uFFFD" : out += c;
  }
}

std::int64_t to_pg_time(Instant t) {
  return (std::clamp(to_ms(t), kLeastMs, kMostMs) - kEpochMs) * 1000;
}

Instant from_pg_time(std::int64_t micros) {
  // Towards the past, so that what was cut off is never ahead of the clock.
  const std::int64_t ms = micros >= 0 ? micros / 1000 : (micros - 999) / 1000;
  return from_ms(ms + kEpochMs);
}

std::vector<const char*> Params::values() const {
  std::vector<const char*> out;
  for (std::size_t i = 0; i < starts_.size(); ++i) {
    out.push_back(nulls_[i] ? nullptr : bytes_.data() + starts_[i]);
  }
  return out;
}

void Params::begin(unsigned oid) {
  types_.push_back(oid);
  starts_.push_back(bytes_.size());
}

void Params::end(bool null) {
  nulls_.push_back(null);
  lengths_.push_back(static_cast<int>(bytes_.size() - starts_.back()));
  formats_.push_back(1);
}

// ndim, flags (1: may hold nulls), element type, then size and lower bound of the one dimension.
void Params::begin_array(unsigned element, std::size_t size) {
  put_int(bytes_, size == 0 ? 0 : 1, 4);
  put_int(bytes_, 1, 4);
  put_int(bytes_, element, 4);
  if (size == 0) return;
  put_int(bytes_, static_cast<std::int64_t>(size), 4);
  put_int(bytes_, 1, 4);
}

void Params::set_length(std::size_t at) {
  const auto length = std::byteswap(static_cast<std::uint32_t>(bytes_.size() - at - 4));
  std::memcpy(bytes_.data() + at, &length, sizeof length);
}

}  // namespace tidegate::store::postgres
