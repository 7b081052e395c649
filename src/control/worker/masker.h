#pragma once
// Takes the secrets of a run's two connections out of every text that the run leaves behind: the
// engine masks what it knows of, but a library of a vendor writes to stderr what it likes.

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "control/store/queue.h"
#include "protocol/protocol.h"

namespace tidegate::worker {

class Masker {
 public:
  // Adds the values of `plain` that are sealed ({"$sealed": …}) at the same place of `stored`.
  void add(const boost::json::object& stored, const boost::json::object& plain);

  void mask(std::string& text) const;
  void mask(store::AttemptEnd& end) const;

 private:
  void add_text(std::string text);
  void add_all(const boost::json::value& plain);

  // Longest first, so that a secret that holds another one leaves no rest.
  std::vector<std::string> secrets_;
};

}  // namespace tidegate::worker
