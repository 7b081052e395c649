// The driver and its URI: what it may say, and what no URI may weaken.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <utility>

#include "engine/connectors/mongodb/connection.h"

namespace tidegate::engine::mongodb {
namespace {

// libmongoc makes a file of counters in shared memory as soon as it is loaded, which a process that
// is killed leaves behind. Nobody reads it, so its name goes away at once.
[[maybe_unused]] const int kCountersUnlinked = [] {
  std::array<char, 32> name{};  // as mongoc-counters.c makes it
  std::snprintf(name.data(), name.size(), "/mongoc-%hu", static_cast<unsigned short>(getpid()));
  return shm_unlink(name.data());
}();

// What the driver only warns of, and what it is called here.
constexpr std::pair<std::string_view, const char*> kWarnings[] = {
    {"Unsupported URI option", "which is not known"},
    {"Empty value provided for", "without a value"},
    {"Overwriting previously provided value for", "more than once"}};
thread_local std::string g_complaint;  // about the URI that this thread reads

// libmongoc writes to stderr unless somebody else takes its lines, and they may hold the URI.
void take_log(mongoc_log_level_t, const char*, const char* message, void*) {
  const std::string_view text(message);
  for (const auto& [begin, what] : kWarnings) {
    if (!text.starts_with(begin)) continue;
    const auto quote = text.find_first_of("\"'");
    const auto end = quote == std::string_view::npos ? quote : text.find(text[quote], quote + 1);
    const auto name = end == std::string_view::npos ? "?" : text.substr(quote + 1, end - quote - 1);
    g_complaint = fmt::format("has the option {}, {}", name, what);
  }
}

void start_driver() {
  static std::once_flag once;
  std::call_once(once, [] {
    mongoc_log_set_handler(take_log, nullptr);
    mongoc_init();
  });
}

}  // namespace

// Milliseconds, where the URI does not say otherwise; what was acknowledged stays, and is what is
// read, whatever it says.
void prepare(mongoc_uri_t* uri) {
  const std::pair<const char*, int> defaults[] = {
      {MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 15'000},
      {MONGOC_URI_CONNECTTIMEOUTMS, 10'000},
      {MONGOC_URI_SOCKETTIMEOUTMS, 300'000},
  };
  for (const auto& [name, ms] : defaults) {
    if (!mongoc_uri_has_option(uri, name)) mongoc_uri_set_option_as_int32(uri, name, ms);
  }
  if (!mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTRYONCE)) {
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, false);
  }
  mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true);
  if (mongoc_uri_get_appname(uri) == nullptr) mongoc_uri_set_appname(uri, "tidegate-sync");
  mongoc_write_concern_t* write = mongoc_write_concern_new();
  mongoc_write_concern_set_wmajority(write, 60'000);
  mongoc_uri_set_write_concern(uri, write);
  mongoc_write_concern_destroy(write);
  mongoc_read_concern_t* read = mongoc_read_concern_new();
  mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
  mongoc_uri_set_read_concern(uri, read);
  mongoc_read_concern_destroy(read);
  mongoc_read_prefs_t* prefer = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
  mongoc_uri_set_read_prefs_t(uri, prefer);
  mongoc_read_prefs_destroy(prefer);
}

ParsedUri parse_uri(const std::string& text) {
  start_driver();
  ParsedUri out;
  bson_error_t error;
  g_complaint.clear();
  out.uri.reset(mongoc_uri_new_with_error(text.c_str(), &error));
  out.complaint = std::exchange(g_complaint, {});
  return out;
}

}  // namespace tidegate::engine::mongodb
