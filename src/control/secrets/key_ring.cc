#include "control/secrets/key_ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace tidegate::secrets {
namespace {

constexpr std::size_t kKeyBytes = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::string_view kVersion = "v1.";
constexpr std::size_t kIdChars = 8;
constexpr std::size_t kMaxKeyFile = 4096;

// libsodium picks its implementations once; every entry to the module comes through a KeyRing.
bool sodium_ready() {
  static const bool ready = sodium_init() >= 0;
  return ready;
}

const unsigned char* bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* bytes(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }

std::string_view trim(std::string_view s) {
  const auto first = s.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r\n") - first + 1);
}

// Empty: not a key.
Secret decode_key(std::string_view text) {
  std::string key(kKeyBytes, '\0');
  std::size_t size = 0;
  if (text.size() == 2 * kKeyBytes &&
      sodium_hex2bin(bytes(key), kKeyBytes, text.data(), text.size(), nullptr, &size, nullptr) ==
          0 &&
      size == kKeyBytes) {
    return Secret(std::move(key));
  }
  for (const int variant :
       {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING}) {
    if (sodium_base642bin(bytes(key), kKeyBytes, text.data(), text.size(), nullptr, &size, nullptr,
                          variant) == 0 &&
        size == kKeyBytes) {
      return Secret(std::move(key));
    }
  }
  return {};
}

// A keyed hash of a constant: names the key and tells nothing about it.
std::string key_id(const Secret& key) {
  constexpr std::string_view kLabel = "tidegate key id";
  std::array<unsigned char, crypto_generichash_BYTES_MIN> hash{};
  crypto_generichash(hash.data(), hash.size(), bytes(kLabel), kLabel.size(), bytes(key.reveal()),
                     kKeyBytes);
  std::string hex(kIdChars + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), kIdChars / 2);
  hex.resize(kIdChars);
  return hex;
}

std::unexpected<Error> file_error(std::string_view what, const std::string& path) {
  return fail(Code::Internal,
              fmt::format("{} the key file {}: {}", what, path, std::strerror(errno)), "key_file");
}

// The file's text; an empty optional when there is no such file.
Result<std::optional<Secret>> read_key_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  if (fd < 0) return file_error("cannot open", path);
  struct stat st{};
  std::string text(kMaxKeyFile, '\0');
  const bool stat_ok = fstat(fd, &st) == 0;
  const ssize_t n = stat_ok ? read(fd, text.data(), text.size()) : -1;
  const int saved = errno;
  close(fd);
  errno = saved;
  if (n < 0) return file_error("cannot read", path);
  if ((st.st_mode & 077) != 0) {
    return fail(
        Code::Forbidden,
        fmt::format("the key file {} may be read by other users; run: chmod 600 {}", path, path),
        "key_file");
  }
  text.resize(static_cast<std::size_t>(n));
  return Secret(std::move(text));
}

// Written whole under another name, then linked: the file never exists without its key, and of two
// servers that make one at the same time the first wins.
Status make_key_file(const std::string& path, Rng& rng) {
  std::array<std::byte, kKeyBytes> key{};
  rng.fill(key);
  std::string hex(2 * kKeyBytes + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(key.data()),
                 key.size());
  hex.back() = '\n';
  sodium_memzero(key.data(), key.size());
  const Secret text(std::move(hex));
  const std::string temporary = fmt::format("{}.{:016x}", path, rng.next());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return file_error("cannot create", path);
  const bool written = write(fd, text.reveal().data(), text.reveal().size()) ==
                           static_cast<ssize_t>(text.reveal().size()) &&
                       fsync(fd) == 0;
  int saved = errno;
  close(fd);
  const bool linked = written && (link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  if (written && !linked) saved = errno;
  unlink(temporary.c_str());
  errno = saved;
  if (!linked) return file_error("cannot write", path);
  return {};
}

}  // namespace

Result<KeyRing> KeyRing::from_text(std::string_view text) {
  if (!sodium_ready()) return fail(Code::Internal, "libsodium cannot be initialised");
  KeyRing ring;
  while (true) {
    const std::size_t comma = text.find(',');
    Secret key = decode_key(trim(text.substr(0, comma)));
    if (key.empty()) {
      return fail(
          Code::Invalid,
          fmt::format("secret key {} is not 64 hex digits or 32 bytes in base64; make one with: "
                      "openssl rand -hex 32",
                      ring.keys_.size() + 1),
          "bad_secret_key");
    }
    std::string id = key_id(key);
    for (const Key& k : ring.keys_) {
      if (k.id == id)
        return fail(Code::Invalid, "the secret key list has one key twice", "bad_secret_key");
    }
    ring.keys_.push_back({std::move(id), std::move(key)});
    if (comma == std::string_view::npos) return ring;
    text.remove_prefix(comma + 1);
  }
}

Result<KeyRing> KeyRing::from_file(const std::string& path, Rng& rng) {
  if (!sodium_ready()) return fail(Code::Internal, "libsodium cannot be initialised");
  TG_TRY(std::optional<Secret> text, read_key_file(path));
  if (!text) {
    TG_CHECK(make_key_file(path, rng));
    TG_TRY(text, read_key_file(path));
  }
  if (!text) return fail(Code::Internal, fmt::format("the key file {} vanished", path), "key_file");
  auto ring = from_text(text->reveal());
  if (!ring) ring.error().message = fmt::format("{}: {}", path, ring.error().message);
  return ring;
}

std::string KeyRing::seal(std::string_view plain, std::string_view associated, Rng& rng) const {
  std::string box(kNonceBytes + plain.size() + kTagBytes, '\0');
  rng.fill(std::as_writable_bytes(std::span(box.data(), kNonceBytes)));
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      bytes(box) + kNonceBytes, nullptr, bytes(plain), plain.size(), bytes(associated),
      associated.size(), nullptr, bytes(box), bytes(keys_.front().bytes.reveal()));
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(box.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes(box), box.size(), kVariant);
  text.pop_back();  // the NUL
  return fmt::format("{}{}.{}", kVersion, keys_.front().id, text);
}

Result<Secret> KeyRing::open(std::string_view sealed, std::string_view associated) const {
  const auto refuse = [](std::string why) {
    return fail(Code::Invalid, std::move(why), "secret_unreadable");
  };
  const std::size_t head = kVersion.size() + kIdChars + 1;
  if (!sealed.starts_with(kVersion) || sealed.size() <= head || sealed[head - 1] != '.') {
    return refuse("a stored secret is damaged; set it again");
  }
  const std::string_view id = sealed.substr(kVersion.size(), kIdChars);
  const std::string_view text = sealed.substr(head);
  std::string box(text.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(bytes(box), box.size(), text.data(), text.size(), nullptr, &size, nullptr,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
      size < kNonceBytes + kTagBytes) {
    return refuse("a stored secret is damaged; set it again");
  }
  for (const Key& key : keys_) {
    if (key.id != id) continue;
    std::string plain(size - kNonceBytes - kTagBytes, '\0');
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            bytes(plain), nullptr, nullptr, bytes(box) + kNonceBytes, size - kNonceBytes,
            bytes(associated), associated.size(), bytes(box), bytes(key.bytes.reveal())) != 0) {
      return refuse("a stored secret is damaged or was moved from another place; set it again");
    }
    return Secret(std::move(plain));
  }
  return refuse(
      fmt::format("a stored secret was encrypted with key {}, which this server does not have; "
                  "add that key to TIDEGATE_SECRET_KEY (new,old) or set the secret again",
                  id));
}

std::string key_id_of(std::string_view sealed) {
  const std::size_t head = kVersion.size() + kIdChars;
  if (!sealed.starts_with(kVersion) || sealed.size() <= head || sealed[head] != '.') return {};
  return std::string(sealed.substr(kVersion.size(), kIdChars));
}

bool KeyRing::is_current(std::string_view sealed) const {
  return sealed.starts_with(kVersion) &&
         sealed.substr(kVersion.size()).starts_with(keys_.front().id);
}

std::vector<std::string> KeyRing::key_ids() const {
  std::vector<std::string> ids;
  for (const Key& k : keys_) ids.push_back(k.id);
  return ids;
}

}  // namespace tidegate::secrets
