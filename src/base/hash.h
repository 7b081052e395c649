#pragma once
// A hash that is the same on every machine and in every release. Not for secrets.

#include <cstdint>
#include <string_view>

namespace tidegate {

inline constexpr std::uint64_t kFnv1aStart = 0xcbf29ce484222325;

// FNV-1a, 64 bits; `from` is the hash of what came before.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t from = kFnv1aStart) {
  for (const char c : bytes) from = (from ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return from;
}
// Of its eight bytes, the lowest first.
constexpr std::uint64_t fnv1a(std::int64_t number, std::uint64_t from) {
  for (int shift = 0; shift < 64; shift += 8) {
    const char byte = static_cast<char>(static_cast<std::uint64_t>(number) >> shift);
    from = fnv1a(std::string_view(&byte, 1), from);
  }
  return from;
}

}  // namespace tidegate
