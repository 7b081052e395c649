#pragma once
// UTF-8 as RFC 3629 defines it: neither overlong forms nor surrogates.

#include <cstddef>
#include <string>
#include <string_view>

namespace tidegate {

// Length of the well-formed sequence at `i`, 0 when there is none. REQUIRES: i < text.size().
std::size_t utf8_sequence(std::string_view text, std::size_t i);

bool is_utf8(std::string_view text);

// For a person: bytes that are no UTF-8, and NUL, as \xNN; everything else as it is.
std::string escape_bytes(std::string_view text);

// For a terminal, which must not be told anything by data: the control characters (C0, DEL and C1)
// as \xNN too, except those in `keep`.
std::string escape_controls(std::string_view text, std::string_view keep = {});

}  // namespace tidegate
