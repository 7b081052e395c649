#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "control/http/session.h"

namespace tidegate::http {
namespace {

bool is_request_id(std::string_view s) {
  return !s.empty() && s.size() <= 64 && std::ranges::all_of(s, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace

Core::Core(ServerOptions o, Router r, const Clock& c, Rng& rng)
    : options(std::move(o)),
      clock(c),
      pool(options.workers, options.max_queue),
      gate(std::make_shared<Gate>()),
      timer_(io),
      // A deadline is at most a quarter late.
      tick_period_(
          std::clamp(std::min({options.header_timeout, options.body_timeout, options.idle_timeout,
                               options.write_timeout, options.linger_timeout, options.stop_timeout,
                               options.heartbeat}) /
                         4,
                     Millis(1), Millis(1000))),
      id_prefix_(fmt::format("{:012x}-", rng.next() >> 16)) {
  gate->core = this;
  routers.push_back(std::move(r));
}

void Core::add(const std::shared_ptr<Session>& session) {
  session->place_ = sessions_.insert(sessions_.end(), session);
  session_count = sessions_.size();
  if (!ticking_) arm_tick();
}

void Core::remove(const Session& session) {
  sessions_.erase(session.place_);
  session_count = sessions_.size();
  if (sessions_.empty()) timer_.cancel();  // an idle server does not wake up
}

void Core::arm_tick() {
  ticking_ = true;
  timer_.expires_after(tick_period_);
  timer_.async_wait([this](error_code) {
    ticking_ = false;
    if (sessions_.empty()) return;
    tick();
    if (!sessions_.empty() && !ticking_) arm_tick();
  });
}

void Core::tick() {
  const auto now = std::chrono::steady_clock::now();
  // Copied: a session that ends leaves the list.
  const std::vector<std::shared_ptr<Session>> all(sessions_.begin(), sessions_.end());
  const bool late = stopping && now >= stop_deadline_;
  for (const auto& session : all) {
    if (session->state_ == Session::State::Closed) continue;
    late ? session->close() : session->tick(now);
  }
}

bool Core::make_room(SteadyTime now) {
  const auto waits = [](const Session& s) {
    return s.state_ == Session::State::Handshake || s.state_ == Session::State::Idle ||
           s.state_ == Session::State::Headers;
  };
  const auto before = [](const Session& a, const Session& b) {
    return std::tuple(a.served_, a.waiting_since_) < std::tuple(b.served_, b.waiting_since_);
  };
  std::shared_ptr<Session> longest;
  for (const auto& session : sessions_) {
    if (waits(*session) && (!longest || before(*session, *longest))) longest = session;
  }
  if (now - told_full_ >= std::chrono::minutes(1)) {
    told_full_ = now;
    log::warn("all connections are in use; for each new one the longest idle one is closed",
              {{"connections", static_cast<std::int64_t>(sessions_.size())},
               {"idle", longest ? std::string_view("some") : std::string_view("none")}});
  }
  if (!longest) return false;
  longest->close();
  return true;
}

void Core::begin_stop() {
  stopping = true;
  stop_deadline_ = std::chrono::steady_clock::now() + options.stop_timeout;
  const std::vector<std::shared_ptr<Session>> all(sessions_.begin(), sessions_.end());
  for (const auto& session : all) session->drain();
}

std::string_view Core::date() {
  const auto second = std::chrono::floor<Seconds>(clock.now()).time_since_epoch().count();
  if (second != date_second_) {
    date_second_ = second;
    date_ = http_date(second);
  }
  return date_;
}

void Core::name_request(Request& request) {
  const auto sent = request.header("X-Request-ID");
  if (sent && is_request_id(*sent)) return request.set_request_id(*sent);
  fmt::basic_memory_buffer<char, 64> id;
  fmt::format_to(fmt::appender(id), FMT_COMPILE("{}{:x}"), id_prefix_, next_id_++);
  request.set_request_id({id.data(), id.size()});
}

}  // namespace tidegate::http
