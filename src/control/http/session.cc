#include "control/http/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cstring>

#include "control/http/session_events.h"

namespace tidegate::http {
namespace {

constexpr std::size_t kFirstBuffer = 4 << 10;
constexpr std::size_t kLargestRead = 32 << 10;
constexpr std::size_t kFlushAt = 64 << 10;  // answers of pipelined requests gathered in one write

bool has_body(const Request& request, const Response& response) {
  return request.method() != Method::Head && response.status != 204 && response.status != 304;
}

}  // namespace

Session::Session(Core& core, std::unique_ptr<Stream> stream, std::string remote, bool secure)
    : core_(core),
      stream_(std::move(stream)),
      parser_(request_, {core.options.max_header_bytes, core.options.max_body_bytes}) {
  request_.set_peer(std::move(remote), secure);
}

Session::~Session() = default;

void Session::start() {
  enter(State::Handshake);
  stream_->handshake(self());
}

void Session::start_refused() {
  refuse({Code::Unavailable,
          "the server has too many connections; try again",
          "too_many_connections",
          {}});
  if (flush()) finish();
}

void Session::enter(State state) {
  state_ = state;
  const ServerOptions& o = core_.options;
  const auto in = [](Millis d) { return std::chrono::steady_clock::now() + d; };
  switch (state) {
    case State::Handshake:
      waiting_since_ = std::chrono::steady_clock::now();
      [[fallthrough]];
    case State::Headers:
      deadline_ = in(o.header_timeout);
      break;
    case State::Idle:
      waiting_since_ = std::chrono::steady_clock::now();
      // Who was never served (no token, or nothing said) does not hold a place for long.
      deadline_ =
          waiting_since_ + (served_ ? o.idle_timeout : std::min(o.idle_timeout, o.header_timeout));
      break;
    case State::Body:
      deadline_ = in(o.body_timeout);
      break;
    case State::Finishing:
      deadline_ = in(o.linger_timeout);
      break;
    case State::Writing:  // set by flush(), which knows the size
    case State::Handling:
    case State::Streaming:
    case State::Closed:
      deadline_ = SteadyTime::max();
      break;
  }
}

void Session::on_handshake(error_code ec) {
  if (state_ == State::Closed) return;
  if (ec) return close();
  enter(State::Idle);
  advance();
}

// Answers every request that is complete in the buffer, then writes the answers in one go.
void Session::advance() {
  while (true) {
    if (close_after_ || out_.size() + out_body_.size() >= kFlushAt) {
      if (!flush()) return;
      if (close_after_) return finish();
    }
    switch (parse()) {
      case Parse::Refused:
        break;
      case Parse::NeedMore:
        if (flush()) read_more();
        return;
      case Parse::Complete:
        if (!dispatch()) return;
    }
  }
}

Session::Parse Session::parse() {
  if (!parser_.done() && in_from_ < in_to_) {
    const auto taken = parser_.feed({in_.data() + in_from_, in_to_ - in_from_});
    if (!taken) {
      refuse(taken.error());
      return Parse::Refused;
    }
    in_from_ += *taken;
  }
  if (parser_.done()) return Parse::Complete;
  if (parser_.headers_done()) return begin_body() ? Parse::NeedMore : Parse::Refused;
  if (parser_.started() && state_ == State::Idle) enter(State::Headers);
  return Parse::NeedMore;
}

// Once per request whose body has not come with its headers. False: refused before the body.
bool Session::begin_body() {
  if (state_ == State::Idle || state_ == State::Headers) enter(State::Body);
  if (std::exchange(body_begun_, true) || !parser_.wants_continue()) return true;
  // The client asks before it sends: the place to refuse what would be refused anyway.
  const auto route = core_.router().match(request_);
  if (!route) {
    core_.name_request(request_);
    Response response = core_.router().refuse(request_, route.error());
    put_answer(response, false);
    return false;
  }
  out_.append(kContinue);
  return true;
}

// True: answered into out_. False: somebody else goes on with advance().
bool Session::dispatch() {
  if (route_ == nullptr) {
    if (core_.options.on_access) started_ = std::chrono::steady_clock::now();
    core_.name_request(request_);
    const auto route = core_.router().match(request_);
    if (!route) {
      answer(core_.router().refuse(request_, route.error()));
      return true;
    }
    route_ = *route;
  }
  if (route_->run == Run::Pool) return hand_to_pool();
  answer(call_handler(*route_, request_));
  return state_ != State::Streaming;
}

bool Session::hand_to_pool() {
  // Earlier answers must not wait for this handler.
  if (!flush()) return false;
  enter(State::Handling);
  const bool taken = core_.pool.submit([self = self()]() mutable {
    Response response = call_handler(*self->route_, self->request_);
    // `self` moves along: a session may end on the IO thread only.
    Core& core = self->core_;
    boost::asio::post(core.io, [self = std::move(self), r = std::move(response)]() mutable {
      if (self->state_ == State::Closed) return;
      self->answer(std::move(r));
      if (self->state_ != State::Streaming) self->advance();
    });
  });
  if (taken) return false;
  answer(error_response({Code::Unavailable, "the server is busy; try again", "overloaded", {}},
                        request_.request_id()));
  return true;
}

void Session::answer(Response response) {
  if (!has_safe_headers(response)) {
    response =
        error_response({Code::Internal,
                        fmt::format("{}: an answer's header is not well-formed", request_.path()),
                        {},
                        {}},
                       request_.request_id());
  }
  if (response.events && request_.method() != Method::Head) return open_events(response);
  put_answer(response, parser_.keep_alive() && !core_.stopping);
}

void Session::refuse(const Error& error) {
  core_.name_request(request_);
  Response response = error_response(error, request_.request_id());
  put_answer(response, false);
}

void Session::put_answer(Response& response, bool keep_alive) {
  report(response.status);
  served_ = served_ || response.status < 400;
  encode_head(response,
              {.http10 = parser_.http10(),
               .keep_alive = keep_alive,
               .date = core_.date(),
               .request_id = request_.request_id()},
              out_);
  if (has_body(request_, response)) {
    if (response.body.size() < kFlushAt) {
      out_.append(response.body);
    } else {
      out_body_ = std::move(response.body);  // its size makes advance() flush before the next
    }
  }
  close_after_ = !keep_alive;
  route_ = nullptr;
  body_begun_ = false;
  parser_.reset();
  enter(State::Idle);
}

void Session::report(int status) {
  if (!core_.options.on_access) return;
  const auto now = std::chrono::steady_clock::now();
  const auto start = started_ == SteadyTime{} ? now : std::exchange(started_, SteadyTime{});
  core_.options.on_access(
      {.method = request_.method(),
       .route = route_ == nullptr ? std::string_view() : std::string_view(route_->pattern),
       .status = status,
       .duration = std::chrono::duration_cast<std::chrono::microseconds>(now - start),
       .request_id = request_.request_id(),
       .remote = request_.remote()});
}

// True: all written. False: on_written() goes on.
bool Session::flush() {
  if (writing_) return false;
  std::size_t written = 0;
  if (out_body_.empty() && !out_.empty()) written = stream_->try_write(out_);
  const std::size_t left = out_.size() - written + out_body_.size();
  if (left == 0) {
    out_.clear();
    return true;
  }
  if (state_ != State::Streaming) enter(State::Writing);
  deadline_ = std::chrono::steady_clock::now() + core_.options.write_timeout +
              Seconds(left / core_.options.min_write_rate);
  writing_ = true;
  stream_->write({boost::asio::buffer(out_.data() + written, out_.size() - written),
                  boost::asio::buffer(out_body_)},
                 self());
  return false;
}

void Session::on_written(error_code ec) {
  writing_ = false;
  if (state_ == State::Closed) return;
  if (ec) return close();
  out_.clear();
  if (out_.capacity() > kFlushAt * 2) std::string().swap(out_);
  std::string().swap(out_body_);
  if (state_ == State::Streaming) {
    enter(State::Streaming);
    return events_->ending ? end_events() : submit_pull();
  }
  if (close_after_) return finish();
  enter(State::Idle);
  advance();
}

void Session::read_more() {
  if (reading_) return;
  if (in_from_ > 0) {
    std::memmove(in_.data(), in_.data() + in_from_, in_to_ - in_from_);
    in_to_ -= in_from_;
    in_from_ = 0;
  }
  if (in_to_ == in_.size()) in_.resize(std::max(kFirstBuffer, in_.size() * 2));
  reading_ = true;
  stream_->read_some(boost::asio::buffer(in_.data() + in_to_, in_.size() - in_to_), self());
}

void Session::on_read(error_code ec, std::size_t bytes) {
  reading_ = false;
  if (state_ == State::Closed) return;
  if (state_ == State::Streaming || state_ == State::Finishing || close_after_) {
    if (ec) return close();  // the client has gone
    return read_more();      // over the same bytes: in_to_ stays, nothing more is answered
  }
  if (ec) {
    if (ec != boost::asio::error::eof || !parser_.started()) return close();
    refuse(parser_.truncated());  // half-closed: it can still read
    return advance();
  }
  in_to_ += bytes;
  // A read that filled the buffer is probably a body: fewer, larger reads.
  if (in_to_ == in_.size() && in_.size() < kLargestRead) in_.resize(in_.size() * 2);
  advance();
}

void Session::finish() {
  enter(State::Finishing);
  stream_->finish(reading_, self());
}

void Session::on_finished() { close(); }

void Session::tick(SteadyTime now) {
  if (state_ == State::Streaming && !writing_) {
    if (events_->starved && !events_->pulling) return submit_pull();
    if (!events_->pulling && now - events_->last_write >= core_.options.heartbeat) {
      write_events(": \n\n");
    }
    return;
  }
  if (now < deadline_) return;
  if (state_ != State::Headers && state_ != State::Body) return close();
  refuse({Code::Malformed,
          "the request did not arrive in time; send it faster or in smaller parts",
          "request_timeout",
          {}});
  advance();
}

void Session::drain() {
  switch (state_) {
    case State::Handshake:
    case State::Idle:
      return close();
    case State::Streaming:
      return end_events();
    default:
      break;  // put_answer() sees Core::stopping; what is being written was promised keep-alive
  }
}

void Session::close() {
  if (state_ == State::Closed) return;
  enter(State::Closed);
  events_.reset();
  stream_->close(writing_);
  core_.remove(*this);
}

}  // namespace tidegate::http
