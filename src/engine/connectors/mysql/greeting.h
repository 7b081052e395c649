#pragma once
// What a MySQL server says of itself before anybody logs in. The client library tells it only when
// the password is gone.

#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/connectors/mysql/config.h"

namespace tidegate::engine::mysql {

struct Greeting {
  bool offers_tls = false;
  int refused = 0;  // the number of the error that it greets with; 0: none
  std::string why;  // of `refused`
};

// The first packet, without its header. Unavailable: it is none of a MySQL server's.
Result<Greeting> parse_greeting(std::string_view packet);

// Asks on a connection of its own, for `seconds` at the most. Unavailable saying why; Cancelled.
Result<Greeting> read_greeting(const Config& config, int seconds, const std::stop_token& stop);

}  // namespace tidegate::engine::mysql
