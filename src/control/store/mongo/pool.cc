// The pool of client.h: the URI, its time-outs, and the server's errors in our words.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>

#include "base/log.h"
#include "control/store/mongo/client.h"

namespace tidegate::store::mongo {
namespace {

constexpr std::string_view kDefaultDatabase = "tidegate";

// libmongoc makes a file of counters in shared memory as soon as it is loaded, before main() and
// whatever the store. Nobody reads it here; a process that was killed left it there, and one that
// got the same number later said so on stderr. So its name goes away at once.
[[maybe_unused]] const int kCountersUnlinked = [] {
  std::array<char, 32> name{};  // as mongoc-counters.c makes it
  std::snprintf(name.data(), name.size(), "/mongoc-%hu", static_cast<unsigned short>(getpid()));
  return shm_unlink(name.data());
}();

// The driver only warns of an option that it does not know, so `tlss=true` would not encrypt.
constexpr std::string_view kUnknown = "Unsupported URI option";
thread_local std::string g_unknown;  // of the URI that this thread reads

// libmongoc writes to stderr unless somebody else takes its lines.
void forward_log(mongoc_log_level_t, const char* domain, const char* message, void*) {
  if (std::string_view(message).starts_with(kUnknown)) g_unknown = message;
  log::debug("MongoDB driver",
             {{"domain", std::string_view(domain)}, {"text", std::string_view(message)}});
}

void start_driver() {
  static std::once_flag once;
  std::call_once(once, [] {
    mongoc_log_set_handler(forward_log, nullptr);
    mongoc_init();
  });
}

using Uri = std::unique_ptr<mongoc_uri_t, decltype(&mongoc_uri_destroy)>;

int whole_ms(Millis span) { return static_cast<int>(span.count()); }

// Milliseconds, where the URI does not say otherwise: who is not there is known within seconds.
void set_defaults(mongoc_uri_t* uri, Millis answer) {
  const std::pair<const char*, int> defaults[] = {
      {MONGOC_URI_SERVERSELECTIONTIMEOUTMS, whole_ms(std::min(answer, Millis(4'000)))},
      {MONGOC_URI_CONNECTTIMEOUTMS, whole_ms(std::min(answer, Millis(3'000)))},
      {MONGOC_URI_SOCKETTIMEOUTMS, whole_ms(answer)},
      {MONGOC_URI_HEARTBEATFREQUENCYMS, 2'000},
      {MONGOC_URI_WAITQUEUETIMEOUTMS, whole_ms(answer)},
  };
  for (const auto& [name, ms] : defaults) {
    if (!mongoc_uri_has_option(uri, name)) mongoc_uri_set_option_as_int32(uri, name, ms);
  }
  if (mongoc_uri_get_appname(uri) == nullptr) mongoc_uri_set_appname(uri, "tidegate");
  if (!mongoc_uri_has_option(uri, MONGOC_URI_RETRYWRITES)) {
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true);
  }
}

// These no URI may weaken: what was acknowledged stays, and is what is read. The server gives up
// waiting for a majority before this side gives up waiting for the server.
void set_concerns(mongoc_uri_t* uri, Millis answer) {
  mongoc_write_concern_t* write = mongoc_write_concern_new();
  mongoc_write_concern_set_wmajority(write, whole_ms(answer * 4 / 5));
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

std::string hosts_of(const mongoc_uri_t* uri) {
  if (const char* srv = mongoc_uri_get_srv_hostname(uri); srv != nullptr) return srv;
  std::string hosts;
  for (const auto* h = mongoc_uri_get_hosts(uri); h != nullptr; h = h->next) {
    hosts += (hosts.empty() ? "" : ",") + std::string(h->host_and_port);
  }
  return hosts;
}

std::unexpected<Error> invalid_uri(std::string_view why) {
  return fail(Code::Invalid,
              fmt::format("the store's URI is not one that MongoDB takes ({}); write it as "
                          "mongodb://user:password@host:27017/database?replicaSet=name, with "
                          "special characters of user and password percent-encoded",
                          why),
              "store_bad_uri");
}

// The driver may quote the URI, and with it the password.
std::string without(std::string text, std::string_view secret) {
  for (std::size_t at = 0; !secret.empty() && (at = text.find(secret, at)) != std::string::npos;) {
    text.replace(at, secret.size(), kMasked);
    at += kMasked.size();
  }
  return text;
}

// The driver says only "TLS handshake failed", and the store is waited for.
Status check_files(const mongoc_uri_t* uri) {
  for (const char* option : {"tlsCAFile", "tlsCertificateKeyFile"}) {
    const char* file = mongoc_uri_get_option_as_utf8(uri, option, nullptr);
    if (file == nullptr || ::access(file, R_OK) == 0) continue;
    return fail(Code::Invalid,
                fmt::format("the store's URI names {}={}, which is no file that this process can "
                            "read",
                            option, file),
                "store_tls");
  }
  return {};
}

struct Meaning {
  Code code;
  std::string_view reason, remedy;
};

// What a caller must do about a server's or the driver's error.
Meaning meaning_of(const bson_error_t& e, const bson_t* reply) {
  using namespace server_code;
  if (e.domain == MONGOC_ERROR_SERVER || e.domain == MONGOC_ERROR_WRITE_CONCERN) {
    switch (static_cast<int>(e.code)) {
      case kDuplicateKey:
        return {Code::Conflict, kDuplicate, ""};
      case kNamespaceExists:
        return {Code::Conflict, kExists, ""};
      case kUnauthorized:
        return {Code::Forbidden, "store_forbidden",
                "; name a user with the role readWrite on this database in the store's URI"};
      case kAuthenticationFailed:
        return {Code::Forbidden, "store_credentials",
                "; check user, password and authSource in the store's URI"};
      case kSnapshotTooOld:
        return {Code::Unavailable, "snapshot_too_old",
                "; it took longer than the server keeps a snapshot: raise its "
                "minSnapshotHistoryWindowInSeconds (300), or try when it is less busy"};
      case 24:     // LockTimeout
      case 50:     // MaxTimeMSExpired
      case 64:     // WriteConcernFailed
      case 89:     // NetworkTimeout
      case 91:     // ShutdownInProgress
      case 112:    // WriteConflict
      case 189:    // PrimarySteppedDown
      case 251:    // NoSuchTransaction
      case 262:    // ExceededTimeLimit
      case 10107:  // NotWritablePrimary
      case 11600:  // InterruptedAtShutdown
      case 11602:  // InterruptedDueToReplStateChange
      case 13435:  // NotPrimaryNoSecondaryOk
      case 13436:  // NotPrimaryOrSecondary
        return {Code::Unavailable, "store_unavailable", "; it is tried again"};
      default:
        break;
    }
  }
  if (reply != nullptr && (mongoc_error_has_label(reply, "RetryableWriteError") ||
                           mongoc_error_has_label(reply, "TransientTransactionError"))) {
    return {Code::Unavailable, "store_unavailable", "; it is tried again"};
  }
  if (e.domain == MONGOC_ERROR_CLIENT && e.code == MONGOC_ERROR_CLIENT_AUTHENTICATE) {
    return {Code::Forbidden, "store_credentials",
            "; check user, password and authSource in the store's URI"};
  }
  if (e.domain == MONGOC_ERROR_SERVER_SELECTION &&
      e.code == MONGOC_ERROR_SERVER_SELECTION_BAD_WIRE_VERSION) {
    return {Code::Invalid, "store_too_old", "; Tidegate needs MongoDB 5.0 or newer"};
  }
  if (e.domain == MONGOC_ERROR_SERVER_SELECTION || e.domain == MONGOC_ERROR_STREAM ||
      e.domain == MONGOC_ERROR_POOL || e.domain == MONGOC_ERROR_PROTOCOL ||
      e.domain == MONGOC_ERROR_CLIENT) {
    return {Code::Unavailable, "store_unavailable",
            "; check that the server runs and can be reached, and the host, port and TLS options "
            "of the store's URI"};
  }
  return {Code::Internal, "store_failed", ""};
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::open(const MongoOptions& options) {
  start_driver();
  bson_error_t error;
  const std::string text(options.uri.reveal());
  g_unknown.clear();
  const Uri uri(mongoc_uri_new_with_error(text.c_str(), &error), mongoc_uri_destroy);
  if (uri == nullptr) return invalid_uri(without(error.message, text));
  if (!g_unknown.empty()) return invalid_uri(g_unknown);
  TG_CHECK(check_files(uri.get()));
  set_defaults(uri.get(), options.answer_timeout);
  set_concerns(uri.get(), options.answer_timeout);
  std::unique_ptr<Pool> made(new Pool());
  const char* named = mongoc_uri_get_database(uri.get());
  made->database_ = !options.database.empty() ? options.database
                    : named != nullptr        ? named
                                              : std::string(kDefaultDatabase);
  if (made->database_.find_first_of("/\\. \"$*<>:|?") != std::string::npos ||
      made->database_.size() > 63) {
    return invalid_uri("the database's name has a character that is not allowed, or is too long");
  }
  made->name_ = fmt::format("MongoDB database '{}' on {}", made->database_, hosts_of(uri.get()));
  const char* set = mongoc_uri_get_replica_set(uri.get());
  made->replica_set_ = set == nullptr ? "" : set;
  made->pool_ = mongoc_client_pool_new_with_error(uri.get(), &error);
  if (made->pool_ == nullptr) return invalid_uri(without(error.message, text));
  mongoc_client_pool_set_error_api(made->pool_, MONGOC_ERROR_API_VERSION_2);
  return made;
}

Pool::~Pool() {
  if (pool_ != nullptr) mongoc_client_pool_destroy(pool_);
}

mongoc_client_t* Pool::pop() { return mongoc_client_pool_pop(pool_); }
void Pool::push(mongoc_client_t* client) { mongoc_client_pool_push(pool_, client); }

Error Pool::error(const bson_error_t& e, const bson_t* reply) const {
  const Meaning meaning = meaning_of(e, reply);
  // The driver does not tell a set of another name from one that is away.
  const std::string set =
      e.domain == MONGOC_ERROR_SERVER_SELECTION && !replica_set_.empty()
          ? fmt::format("; the replica set must have the name '{}' (replicaSet of the store's URI)",
                        replica_set_)
          : "";
  const bool away = opened_ && meaning.code == Code::Forbidden;
  return {away ? Code::Unavailable : meaning.code,
          fmt::format("{}: {}{}{}", name_, e.message, meaning.remedy, set),
          std::string(meaning.reason),
          {}};
}

}  // namespace tidegate::store::mongo
