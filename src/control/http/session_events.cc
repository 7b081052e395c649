#include "control/http/session_events.h"

#include <boost/asio/post.hpp>
#include <exception>

#include "base/log.h"

namespace tidegate::http {

void Session::open_events(Response& response) {
  report(response.status);
  const bool chunked = !parser_.http10();
  encode_head(response,
              {.http10 = parser_.http10(),
               .keep_alive = false,
               .chunked = chunked,
               .date = core_.date(),
               .request_id = request_.request_id()},
              out_);
  route_ = nullptr;
  in_from_ = in_to_ = 0;  // a request pipelined behind an endless answer gets none
  events_ = std::make_unique<Events>();
  events_->source = std::move(response.events);
  events_->chunked = chunked;
  events_->last_write = std::chrono::steady_clock::now();
  enter(State::Streaming);
  read_more();  // tells when the client goes
  if (core_.stopping) return end_events();
  if (flush()) submit_pull();
}

void Session::submit_pull() {
  Events& e = *events_;
  EventSource::Wake wake;
  if (!e.opened) {
    auto state = std::make_shared<WakeState>(core_.gate, weak_from_this());
    wake = [state = std::move(state)] {
      if (state->posted.exchange(true)) return;
      const std::lock_guard lock(state->gate->mutex);
      if (state->gate->core == nullptr) return;
      boost::asio::post(state->gate->core->io, [state] {
        state->posted = false;
        if (const auto session = state->session.lock()) session->on_wake();
      });
    };
  }
  e.again = false;
  e.pulling =
      core_.pool.submit([self = self(), source = e.source, wake = std::move(wake)]() mutable {
        std::optional<std::string> bytes;
        try {
          if (wake) source->open(std::move(wake));
          bytes = source->pull();
        } catch (const std::exception& x) {
          bytes.reset();
          log::error("an event stream failed", {{"error", std::string_view(x.what())}});
        }
        source.reset();
        Core& core = self->core_;
        boost::asio::post(core.io, [self = std::move(self), b = std::move(bytes)]() mutable {
          self->on_pulled(std::move(b));
        });
      });
  e.starved = !e.pulling;
  if (e.pulling) e.opened = true;
}

void Session::on_pulled(std::optional<std::string> bytes) {
  if (!events_) return;
  events_->pulling = false;
  if (!bytes) return end_events();
  if (bytes->empty() ? events_->again : write_events(*bytes)) submit_pull();
}

void Session::on_wake() {
  if (!events_) return;
  if (events_->pulling) {
    events_->again = true;
  } else if (!writing_) {  // else on_written() pulls
    submit_pull();
  }
}

// True: the client has taken them already.
bool Session::write_events(std::string_view bytes) {
  events_->last_write = std::chrono::steady_clock::now();
  if (events_->chunked) {
    encode_chunk(bytes, out_);
  } else {
    out_.append(bytes);
  }
  return flush();
}

void Session::end_events() {
  events_->ending = true;
  if (writing_) return;  // on_written() comes back
  if (events_->chunked) out_.append(kLastChunk);
  events_.reset();
  close_after_ = true;
  state_ = State::Writing;
  if (flush()) finish();
}

}  // namespace tidegate::http
