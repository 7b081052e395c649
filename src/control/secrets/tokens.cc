#include "control/secrets/tokens.h"

#include <sodium.h>

#include <array>

namespace tidegate::secrets {

Secret new_token(Rng& rng) {
  std::array<std::byte, 32> raw{};
  rng.fill(raw);
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_ENCODED_LEN(raw.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(raw.data()),
                    raw.size(), kVariant);
  sodium_memzero(raw.data(), raw.size());
  text.pop_back();  // the NUL
  return Secret("tg_" + text);
}

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size());
  std::string hex(2 * hash.size() + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size());
  hex.pop_back();  // the NUL
  return hex;
}

std::string hash_token(std::string_view token) { return sha256_hex(token); }

}  // namespace tidegate::secrets
