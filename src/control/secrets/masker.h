#pragma once
// Takes the secrets of connections out of every text that the engine sends back about them: it
// masks what it knows of, but a library of a vendor writes what it likes.

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace tidegate::secrets {

class Masker {
 public:
  // Adds the values of `plain` that are sealed ({"$sealed": …}) at the same place of `stored`.
  void add(const boost::json::object& stored, const boost::json::object& plain);

  void mask(std::string& text) const;
  void mask(Error& error) const;
  void mask(boost::json::value& v) const;  // every text in it but the names of members

 private:
  void add_text(std::string text);
  void add_all(const boost::json::value& plain);

  // Longest first, so that a secret that holds another one leaves no rest.
  std::vector<std::string> secrets_;
};

}  // namespace tidegate::secrets
