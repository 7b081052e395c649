#pragma once
// One connection: reads requests, has them answered, writes the answers, streams events.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "control/http/encode.h"
#include "control/http/parser.h"
#include "control/http/pool.h"
#include "control/http/server.h"
#include "control/http/stream.h"

namespace tidegate::http {

using SteadyTime = std::chrono::steady_clock::time_point;
class Session;

// What all connections of a server share. IO thread only, unless said otherwise.
struct Core {
  Core(ServerOptions o, Router r, const Clock& c, Rng& rng);

  // Into the list and under the deadlines' watch.
  void add(const std::shared_ptr<Session>& session);
  void remove(const Session& session);
  // Refuses new work, ends what is idle; after stop_timeout the rest.
  void begin_stop();
  // Closes the connection that has waited longest for a request to begin or to arrive, those that
  // were never served before others. False: all are at work.
  bool make_room(SteadyTime now);
  std::string_view date();
  void name_request(Request& request);

  const ServerOptions options;
  const Router& router() const { return routers.back(); }

  // The last one counts; requests in flight point into those before.
  std::list<Router> routers;
  const Clock& clock;
  boost::asio::io_context io{1};
  WorkerPool pool;
  std::atomic<std::size_t> session_count = 0;  // any thread
  bool stopping = false;
  // Event sources may call their wake after the server has gone: `core` is null by then.
  struct Gate {
    std::mutex mutex;
    Core* core;
  };
  const std::shared_ptr<Gate> gate;

 private:
  void arm_tick();
  void tick();

  std::list<std::shared_ptr<Session>> sessions_;
  // One coarse timer for all connections: a timer per request costs more than parsing it.
  boost::asio::steady_timer timer_;
  bool ticking_ = false;
  Millis tick_period_;
  SteadyTime stop_deadline_{};
  SteadyTime told_full_{};  // when the log last said so
  std::string id_prefix_;
  std::uint64_t next_id_ = 0;
  std::int64_t date_second_ = -1;
  std::string date_;
};

class Session final : public IoClient, public std::enable_shared_from_this<Session> {
 public:
  Session(Core& core, std::unique_ptr<Stream> stream, std::string remote, bool secure);
  ~Session() override;

  void start();
  // Answers 503 and closes: too many connections.
  void start_refused();
  // Looks at deadlines and heartbeats.
  void tick(SteadyTime now);
  // Ends at once when idle or streaming, else after the answer in progress.
  void drain();
  void close();

  void on_handshake(error_code ec) override;
  void on_read(error_code ec, std::size_t bytes) override;
  void on_written(error_code ec) override;
  void on_finished() override;

 private:
  friend struct Core;
  enum class State : std::uint8_t {
    Handshake,
    Idle,       // between requests
    Headers,    // a byte of a request has come
    Body,       // its headers are complete
    Handling,   // on the pool
    Writing,    // an answer waits for the client to read
    Streaming,  // an SSE answer is open
    Finishing,  // all is said, waiting for the client to close
    Closed,
  };
  enum class Parse : std::uint8_t { NeedMore, Complete, Refused };
  struct Events;
  struct WakeState;

  std::shared_ptr<Session> self() { return shared_from_this(); }
  void enter(State state);

  // The request cycle (session.cc).
  void advance();
  Parse parse();
  bool begin_body();
  bool dispatch();
  bool hand_to_pool();
  void read_more();
  void answer(Response response);
  void refuse(const Error& error);
  void put_answer(Response& response, bool keep_alive);
  void report(int status);
  bool flush();
  void finish();

  // An SSE answer (session_events.cc).
  void open_events(Response& response);
  void submit_pull();
  void on_pulled(std::optional<std::string> bytes);
  void on_wake();
  bool write_events(std::string_view bytes);
  void end_events();

  Core& core_;
  std::unique_ptr<Stream> stream_;
  Request request_;
  RequestParser parser_;
  State state_ = State::Handshake;
  SteadyTime deadline_{};
  SteadyTime waiting_since_{};  // for a request
  bool served_ = false;         // a request of it was answered with success
  std::list<std::shared_ptr<Session>>::iterator place_;  // in Core::sessions_

  std::vector<char> in_;
  std::size_t in_from_ = 0, in_to_ = 0;  // bytes read and not yet parsed
  std::string out_, out_body_;           // answers not yet written; a large body is not copied
  bool reading_ = false, writing_ = false;
  bool close_after_ = false;  // after what is in out_
  bool body_begun_ = false;
  const Route* route_ = nullptr;  // of the request in progress
  SteadyTime started_{};
  std::unique_ptr<Events> events_;
};

}  // namespace tidegate::http
