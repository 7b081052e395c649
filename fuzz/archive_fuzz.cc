// Any lines as a backup: what is accepted as a record is written and read as the same one, and no
// line makes the parser or the check fall.

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/json.h"
#include "control/archive/check.h"
#include "control/archive/format.h"
#include "control/archive/restore.h"
#include "control/store/archive_json.h"

namespace {

using namespace tidegate;

void require(bool holds) {
  if (!holds) std::abort();
}

// The file as it is: nearly never whole.
void as_a_file(std::string_view text) {
  archive::Parser parser;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (!parser.line(text.substr(0, end))) return;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  (void)parser.finish();
}

// Each line alone, as if the checksum were right.
void as_records(std::string_view text) {
  archive::Check check(nullptr);
  archive::Transform transform(from_ms(0), from_ms(1));
  std::vector<store::ArchiveRecord> out;
  archive::Encoder encoder;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto v = json::parse(text.substr(0, end), {.max_bytes = 1 << 20, .max_depth = 64});
    const auto record = v ? store::archive_record_from_json(*v)
                          : Result<store::ArchiveRecord>(std::unexpected(v.error()));
    if (record) {
      const std::string written = json::write(store::to_json(*record));
      const auto again = store::archive_record_from_json(*json::parse(written));
      require(again.has_value() && json::write(store::to_json(*again)) == written);
      require(encoder.record(*record).has_value());
      check.see(*record);
      // A job is left out: to count its slots may take a while, and is the planner's.
      if (!std::holds_alternative<store::ArchivedJob>(*record)) {
        require(transform.apply(*record, out).has_value());
      }
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  (void)check.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  as_a_file(text);
  as_records(text);
  return 0;
}
