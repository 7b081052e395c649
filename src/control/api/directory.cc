#include "control/api/directory.h"

#include "control/secrets/tokens.h"

namespace tidegate::api {
namespace {

constexpr Millis kKept{1'000};
constexpr std::size_t kMaxEntries = 10'000;  // then all are dropped; a guess cannot fill memory

}  // namespace

Directory::Directory(store::Store& store, const Clock& clock, StoreTime& time)
    : store_(store), clock_(clock), time_(time) {
  subscription_ = store_.watch([this](const store::Change& change) {
    const bool token = change.kind == store::ChangeKind::Token;
    if (!token && change.kind != store::ChangeKind::Workspace) return;
    const std::unique_lock lock(mutex_);
    ++generation_;
    tokens_.clear();
    workspaces_.clear();
  });
}

template <class T>
std::shared_ptr<const T> Directory::find(const Map<T>& map, const std::string& key) const {
  const std::shared_lock lock(mutex_);
  const auto it = map.find(key);
  if (it == map.end() || it->second.until <= clock_.boot_now()) return nullptr;
  return it->second.value;
}

std::uint64_t Directory::generation() const {
  const std::shared_lock lock(mutex_);
  return generation_;
}

// A value read before an invalidation must not be kept after it.
template <class T>
void Directory::keep(Map<T>& map, const std::string& key, std::shared_ptr<const T> value,
                     std::uint64_t generation) {
  const std::unique_lock lock(mutex_);
  if (generation != generation_) return;
  if (map.size() >= kMaxEntries) map.clear();
  map.insert_or_assign(key, Entry<T>{std::move(value), clock_.boot_now() + kKept});
}

Result<std::shared_ptr<const model::Token>> Directory::token(std::string_view text) {
  return token_of_hash(secrets::hash_token(text));
}

Result<bool> Directory::still_valid(const std::string& token_hash) {
  TG_TRY(const auto token, token_of_hash(token_hash));
  if (!token || !token->expires_at) return token != nullptr;
  TG_TRY(const Instant now, time_.now());
  return *token->expires_at > now;
}

Result<std::shared_ptr<const model::Token>> Directory::token_of_hash(const std::string& hash) {
  if (auto kept = find(tokens_, hash)) return kept;
  const std::uint64_t before = generation();
  TG_TRY(auto found, store_.find_token(hash));
  if (!found) return nullptr;
  auto value = std::make_shared<const model::Token>(std::move(*found));
  keep(tokens_, hash, value, before);
  return value;
}

Result<std::shared_ptr<const model::Workspace>> Directory::workspace(std::string_view id_or_name) {
  const std::string key(id_or_name);
  if (auto kept = find(workspaces_, key)) return kept;
  const std::uint64_t before = generation();
  TG_TRY(auto found, store_.find_workspace(key));
  auto value = std::make_shared<const model::Workspace>(std::move(found));
  keep(workspaces_, key, value, before);
  return value;
}

}  // namespace tidegate::api
