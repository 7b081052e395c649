#pragma once
// Encryption of secrets at rest: XChaCha20-Poly1305 (IETF draft-irtf-cfrg-xchacha, as in libsodium)
// with 256-bit keys. The associated data binds a ciphertext to its place, so it cannot be moved to
// another row or field; the ciphertext names its key, so keys can be rotated.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/secret.h"

namespace tidegate::secrets {

// Immutable; thread-safe.
class KeyRing {
 public:
  // One key or `new,old`: the first seals, all of them open. A key is 64 hex digits or 32 bytes in
  // base64. Invalid: anything else, or one key twice; the message never holds the text.
  static Result<KeyRing> from_text(std::string_view keys);
  // Reads that form from a file; when it is missing, makes it with one random key and mode 0600
  // (atomically: two servers starting at once end with the same key). Forbidden: other users may
  // read it. Invalid: its text is not a key.
  static Result<KeyRing> from_file(const std::string& path, Rng& rng);

  // Printable: `v1.<key id>.<base64url of nonce and ciphertext>`.
  std::string seal(std::string_view plain, std::string_view associated, Rng& rng) const;
  // Invalid `secret_unreadable`: no key of that id (the message names it), or not sealed for this
  // place, or damaged.
  Result<Secret> open(std::string_view sealed, std::string_view associated) const;

  // True when `sealed` was made with the first key; rotation re-seals the others.
  bool is_current(std::string_view sealed) const;
  // Ids of the keys, in order; 8 hex digits, no secret.
  std::vector<std::string> key_ids() const;

 private:
  struct Key {
    std::string id;
    Secret bytes;
  };
  std::vector<Key> keys_;
};

// The id of the key that `sealed` names; empty: it is no sealed secret.
std::string key_id_of(std::string_view sealed);

}  // namespace tidegate::secrets
