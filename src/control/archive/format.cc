#include "control/archive/format.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>

#include "base/json.h"
#include "base/version.h"
#include "control/model/connection_json.h"
#include "control/secrets/key_ring.h"
#include "control/store/archive_json.h"
#include "protocol/fields.h"

namespace tidegate::archive {
namespace {

namespace bj = boost::json;

constexpr std::string_view kFormat = "tidegate-backup";
// A configuration may be as deep as the API takes it, within a record.
constexpr json::Limits kLimits{.max_bytes = kMaxLine, .max_depth = 64};

std::unexpected<Error> damaged(std::string_view why) {
  return fail(
      Code::Malformed,
      fmt::format("the backup is damaged: {}. Nothing of it can be trusted; use another one", why),
      "backup_damaged");
}

std::unexpected<Error> not_a_backup() {
  return fail(Code::Malformed,
              "the file is no backup of Tidegate (its first line does not say so); name one that "
              "`tidegate backup` made",
              "not_a_backup");
}

std::string text_at(const bj::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}

void add_keys(const bj::value& v, std::vector<std::string>& ids) {
  if (model::is_sealed(v)) {
    const auto& sealed = v.get_object().begin()->value();
    if (!sealed.is_string()) return;
    const std::string id = secrets::key_id_of(std::string_view(sealed.get_string()));
    if (!id.empty() && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  } else if (v.is_object()) {
    for (const auto& member : v.get_object()) add_keys(member.value(), ids);
  } else if (v.is_array()) {
    for (const auto& item : v.get_array()) add_keys(item, ids);
  }
}

void count(Trailer& trailer, const store::ArchiveRecord& record) {
  ++trailer.records[std::string(store::kind_of(record))];
  const auto* connection = std::get_if<model::Connection>(&record);
  if (connection == nullptr) return;
  for (auto& id : secret_keys_of(connection->config)) {
    if (std::ranges::find(trailer.secret_keys, id) == trailer.secret_keys.end()) {
      trailer.secret_keys.push_back(std::move(id));
    }
  }
}

}  // namespace

std::vector<std::string> secret_keys_of(const bj::object& config) {
  std::vector<std::string> ids;
  for (const auto& member : config) add_keys(member.value(), ids);
  return ids;
}

// ---- the sum

struct Sha256::State {
  crypto_hash_sha256_state sum;
};
Sha256::Sha256() : state_(std::make_unique<State>()) { crypto_hash_sha256_init(&state_->sum); }
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
  crypto_hash_sha256_update(&state_->sum, reinterpret_cast<const unsigned char*>(bytes.data()),
                            bytes.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256_final(&state_->sum, hash.data());
  std::string text(2 * hash.size() + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), hash.data(), hash.size());
  text.pop_back();  // the NUL
  return text;
}

// ---- writing

std::string Encoder::header(const Header& header) {
  const bj::object o{{"format", kFormat},
                     {"version", header.version},
                     {"createdAt", format_utc(header.created_at)},
                     {"tidegate", header.tidegate},
                     {"store", header.store},
                     {"snapshot", header.snapshot}};
  std::string line = json::write(o) + '\n';
  sum_.add(line);
  return line;
}

Result<std::string> Encoder::record(const store::ArchiveRecord& record) {
  std::string line = json::write(store::to_json(record));
  // A message of some database may be anything; what is written must be readable.
  if (std::ranges::any_of(line, [](char c) { return c < 0; })) line = protocol::to_utf8(line);
  if (line.size() >= kMaxLine) {
    return fail(Code::TooLarge,
                fmt::format("a record of the kind '{}' has {} bytes, more than the {} that a "
                            "backup's line may have",
                            store::kind_of(record), line.size(), kMaxLine),
                "record_too_large");
  }
  line.push_back('\n');
  sum_.add(line);
  count(trailer_, record);
  return line;
}

std::string Encoder::trailer() {
  trailer_.sha256 = sum_.hex();
  bj::object records;
  for (const auto& [kind, n] : trailer_.records) records[kind] = n;
  bj::array keys;
  for (const auto& id : trailer_.secret_keys) keys.emplace_back(id);
  const bj::object end{{"records", std::move(records)},
                       {"secretKeys", std::move(keys)},
                       {"sha256", trailer_.sha256}};
  return json::write(bj::object{{"end", end}}) + '\n';
}

// ---- reading

Status Parser::read_header(std::string_view text) {
  const auto v = json::parse(text, {.max_bytes = 64 << 10, .max_depth = 4});
  if (!v || !v->is_object()) return not_a_backup();
  const bj::object& o = v->get_object();
  if (text_at(o, "format") != kFormat) return not_a_backup();
  const auto* version = o.if_contains("version");
  if (version == nullptr || !version->is_int64() || version->get_int64() < 1) {
    return not_a_backup();
  }
  if (version->get_int64() > kFormatVersion) {
    return fail(Code::Invalid,
                fmt::format("the backup has format version {}, this tidegate ({}) reads up to {}; "
                            "restore it with tidegate {} or newer. Nothing was changed",
                            version->get_int64(), tidegate::version(), kFormatVersion,
                            text_at(o, "tidegate")),
                "backup_too_new");
  }
  const auto created = parse_rfc3339(text_at(o, "createdAt"));
  if (!created) return damaged("its first line has no time");
  const auto* snapshot = o.if_contains("snapshot");
  header_ = Header{.version = static_cast<int>(version->get_int64()),
                   .created_at = *created,
                   .tidegate = text_at(o, "tidegate"),
                   .store = text_at(o, "store"),
                   .snapshot = snapshot != nullptr && snapshot->is_bool() && snapshot->get_bool()};
  return {};
}

Status Parser::read_trailer(const bj::object& end) {
  ended_ = true;
  trailer_.sha256 = sum_.hex();
  if (text_at(end, "sha256") != trailer_.sha256) {
    return damaged("its lines do not have the checksum that its last line says");
  }
  const auto* records = end.if_contains("records");
  if (records == nullptr || !records->is_object()) return damaged("its last line has no counts");
  std::map<std::string, std::int64_t, std::less<>> counts;
  for (const auto& member : records->get_object()) {
    if (!member.value().is_int64()) return damaged("its last line has no counts");
    counts[std::string(member.key())] = member.value().get_int64();
  }
  if (counts != trailer_.records) {
    return damaged("it has not as many records as its last line says");
  }
  return {};
}

Result<std::optional<store::ArchiveRecord>> Parser::line(std::string_view text) {
  ++lines_;
  if (ended_) return damaged("lines follow after its last one");
  if (header_) {
    const auto v = json::parse(text, kLimits);
    if (!v) return damaged(fmt::format("line {} is no JSON", lines_));
    if (v->is_object() && v->get_object().size() == 1) {
      const auto* end = v->get_object().if_contains("end");
      if (end != nullptr && end->is_object()) {
        TG_CHECK(read_trailer(end->get_object()));
        return std::nullopt;
      }
    }
    auto record = store::archive_record_from_json(*v);
    if (!record) return damaged(fmt::format("line {}: {}", lines_, record.error().message));
    count(trailer_, *record);
    sum_.add(text);
    sum_.add("\n");
    return std::move(*record);
  }
  TG_CHECK(read_header(text));
  sum_.add(text);
  sum_.add("\n");
  return std::nullopt;
}

Status Parser::finish() const {
  if (!header_) return not_a_backup();
  if (!ended_) return damaged("its end is missing");
  return {};
}

}  // namespace tidegate::archive
