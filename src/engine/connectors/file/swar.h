#pragma once
// Eight digits at once in one register (Lemire, "Quickly parsing eight digits", 2018).

#include <cstdint>
#include <cstring>

namespace tidegate::engine::file {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first digit must be the lowest byte");

// `size` characters, filled up in front with '0'. REQUIRES: 1 ≤ size ≤ 8, eight bytes readable at
// p.
inline std::uint64_t load_digits(const char* p, std::size_t size) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  if (size == 8) return v;
  return (v << (64 - 8 * size)) | (0x3030303030303030ULL >> (8 * size));
}
inline bool all_digits(std::uint64_t v) {
  return ((v & 0xF0F0F0F0F0F0F0F0ULL) |
          (((v + 0x0606060606060606ULL) & 0xF0F0F0F0F0F0F0F0ULL) >> 4)) == 0x3333333333333333ULL;
}
inline std::uint32_t digits_value(std::uint64_t v) {
  v -= 0x3030303030303030ULL;
  v = v * 10 + (v >> 8);
  v = ((v & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
       ((v >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >>
      32;
  return static_cast<std::uint32_t>(v);
}

}  // namespace tidegate::engine::file
