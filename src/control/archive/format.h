#pragma once
// The text of a backup: JSON lines. A header says what it is, each line after it is a record
// (store/archive_json.h), and the last one counts them and has the SHA-256 of all lines before it,
// so that a file that was cut or altered is known as such. Pure.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "control/store/archive.h"

namespace tidegate::archive {

inline constexpr int kFormatVersion = 1;
inline constexpr std::size_t kMaxLine = 64 << 20;  // bytes

struct Header {
  int version = kFormatVersion;
  Instant created_at;
  std::string tidegate;   // its version
  std::string store;      // the kind it came from
  bool snapshot = false;  // all of it shows one moment: see store::ArchiveReader
};
struct Trailer {
  std::map<std::string, std::int64_t, std::less<>> records;  // by kind
  std::vector<std::string> secret_keys;  // ids of the keys that its secrets are sealed with
  std::string sha256;                    // hex; also the archive's id
};

// SHA-256 (FIPS 180-4) of what was added.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  std::string hex();  // REQUIRES: called once, last

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Encoder {
 public:
  std::string header(const Header& header);
  // TooLarge above kMaxLine. Each ends with a newline.
  Result<std::string> record(const store::ArchiveRecord& record);
  std::string trailer();
  const Trailer& written() const { return trailer_; }

 private:
  Sha256 sum_;
  Trailer trailer_;
};

// Reads line after line, without their newlines.
class Parser {
 public:
  // The record of that line; nullopt: it was the header or the trailer. Malformed
  // `backup_damaged`: it is no such line, in the wrong place, or what it says does not agree with
  // what came before. Malformed `not_a_backup`, Invalid `backup_too_new`.
  Result<std::optional<store::ArchiveRecord>> line(std::string_view text);
  // Malformed `backup_damaged` unless the trailer was read.
  Status finish() const;
  const Header& header() const { return *header_; }  // REQUIRES: a line was read
  const Trailer& trailer() const { return trailer_; }

 private:
  Status read_header(std::string_view text);
  Status read_trailer(const boost::json::object& end);

  std::optional<Header> header_;
  Sha256 sum_;
  Trailer trailer_;
  bool ended_ = false;
  std::int64_t lines_ = 0;
};

// Ids of the keys that the configuration's secrets are sealed with.
std::vector<std::string> secret_keys_of(const boost::json::object& config);

}  // namespace tidegate::archive
