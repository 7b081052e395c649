#pragma once
// API tokens: 256 random bits. Only the hash is kept, and a token is found by its hash, so no
// comparison's timing can tell anything about a stored one. Thread-safe.

#include <string>
#include <string_view>

#include "base/rng.h"
#include "base/secret.h"

namespace tidegate::secrets {

// `tg_` and 43 characters of base64url. REQUIRES: rng is fit for secrets.
Secret new_token(Rng& rng);

// SHA-256 (FIPS 180-4) in lower-case hex. No salt is needed: the input has 256 bits of entropy.
std::string hash_token(std::string_view token);
// The same hash, of anything: bodies of idempotent requests.
std::string sha256_hex(std::string_view bytes);

}  // namespace tidegate::secrets
