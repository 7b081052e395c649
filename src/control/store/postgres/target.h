#pragma once
// Where the store is: a PostgreSQL URL taken apart, and the words for what can go wrong there. No
// message holds the password.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/secret.h"

namespace tidegate::store::postgres {

class Target {
 public:
  // Invalid: not a PostgreSQL URL; the message does not quote it, as a broken one may show a piece
  // of the password.
  static Result<Target> parse(const Secret& url);

  // For PQconnectStartParams, one for each host of the URL (it may name several, as of a cluster).
  struct Params {
    std::vector<std::string> keys;
    std::vector<Secret> values;
  };
  const std::vector<Params>& hosts() const { return hosts_; }
  // Seconds of the URL's connect_timeout; 0: not given.
  int connect_timeout() const { return connect_timeout_; }

  const std::string& user() const { return user_; }
  const std::string& database() const { return database_; }
  // "PostgreSQL at db.example port 5432, database tidegate"
  const std::string& name() const { return name_; }

  // A failed connection attempt; Invalid where waiting mends nothing. `verbose` is libpq's message
  // with PQERRORS_VERBOSE: it carries the SQLSTATE, so no server language matters.
  Error cannot_connect(std::string_view verbose) const;
  Error too_old(int version) const;          // of libpq: 110022
  Error lost(std::string_view cause) const;  // a connection ended in use
  // A statement was refused.
  Error refused(std::string_view sqlstate, std::string_view message) const;

 private:
  std::vector<Params> hosts_;
  int connect_timeout_ = 0;
  std::string user_, database_, name_;
};

}  // namespace tidegate::store::postgres
