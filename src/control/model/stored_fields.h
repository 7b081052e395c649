#pragma once
// Private to the module: reads and writes the members of stored objects. Absent members leave the
// default; a member of the wrong type is remembered and makes the whole value unreadable.

#include <boost/json/object.hpp>
#include <boost/json/value_to.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"

namespace tidegate::model {

class Stored {
 public:
  explicit Stored(const boost::json::value& v) : object_(v.if_object()), ok_(object_ != nullptr) {}

  const boost::json::value* find(std::string_view key) const {
    return object_ == nullptr ? nullptr : object_->if_contains(key);
  }
  void text(std::string_view key, std::string& out) {
    on(key, [&](const auto& v) { return set(v, out); });
  }
  template <class Tag>
  void id(std::string_view key, Id<Tag>& out) {
    std::string s;
    text(key, s);
    out = Id<Tag>(std::move(s));
  }
  template <class Int>
  void number(std::string_view key, Int& out) {
    on(key, [&](const auto& v) {
      if (!v.is_int64() && !v.is_uint64()) return false;
      out = static_cast<Int>(v.is_int64() ? v.get_int64()
                                          : static_cast<std::int64_t>(v.get_uint64()));
      return true;
    });
  }
  void real(std::string_view key, double& out) {
    on(key, [&](const auto& v) {
      if (!v.is_number()) return false;
      out = v.template to_number<double>();
      return true;
    });
  }
  void flag(std::string_view key, bool& out) {
    on(key, [&](const auto& v) {
      if (v.is_bool()) out = v.get_bool();
      return v.is_bool();
    });
  }
  void time(std::string_view key, Instant& out) {
    std::int64_t ms = to_ms(out);
    number(key, ms);
    out = from_ms(ms);
  }
  void span(std::string_view key, Millis& out) {
    std::int64_t ms = out.count();
    number(key, ms);
    out = Millis(ms);
  }
  void time(std::string_view key, std::optional<Instant>& out) {
    if (find(key) != nullptr) time(key, out.emplace());
  }
  void span(std::string_view key, std::optional<Millis>& out) {
    if (find(key) != nullptr) span(key, out.emplace());
  }
  void text(std::string_view key, std::optional<std::string>& out) {
    if (find(key) != nullptr) text(key, out.emplace());
  }
  void number(std::string_view key, std::optional<std::int64_t>& out) {
    if (find(key) != nullptr) number(key, out.emplace());
  }
  template <class E, std::size_t N>
  void name(std::string_view key, const std::string_view (&names)[N], E& out) {
    on(key, [&](const auto& v) {
      if (!v.is_string()) return false;
      for (std::size_t i = 0; i < N; ++i) {
        if (v.get_string() == names[i]) {
          out = static_cast<E>(i);
          return true;
        }
      }
      return false;
    });
  }
  void texts(std::string_view key, std::vector<std::string>& out) {
    each(key, [&](const boost::json::value& v) { return set(v, out.emplace_back()); });
  }
  // `f(value) -> bool` for the elements of a list, `f(key, value) -> bool` for an object's members.
  template <class F>
  void each(std::string_view key, F f) {
    on(key, [&](const auto& v) {
      if (!v.is_array()) return false;
      for (const auto& item : v.get_array()) {
        if (!f(item)) return false;
      }
      return true;
    });
  }
  template <class F>
  void members(std::string_view key, F f) {
    on(key, [&](const auto& v) {
      if (!v.is_object()) return false;
      for (const auto& m : v.get_object()) {
        if (!f(std::string(m.key()), m.value())) return false;
      }
      return true;
    });
  }
  void require(bool ok) { ok_ = ok_ && ok; }
  bool ok() const { return ok_; }
  template <class T>
  Result<T> done(T&& t, std::string_view what) const {
    if (ok_) return std::forward<T>(t);
    return fail(Code::Internal,
                "a stored " + std::string(what) +
                    " cannot be read: the store is damaged or was written by a newer "
                    "version");
  }

 private:
  static bool set(const boost::json::value& v, std::string& out) {
    if (v.is_string()) out.assign(v.get_string().data(), v.get_string().size());
    return v.is_string();
  }
  template <class F>
  void on(std::string_view key, F f) {
    const auto* v = find(key);
    if (v != nullptr && !f(*v)) ok_ = false;
  }

  const boost::json::object* object_;
  bool ok_;
};

// Writing: leaves out what the reader takes as default anyway (none, empty).
inline void put(boost::json::object& o, std::string_view key, const std::string& s) {
  if (!s.empty()) o[key] = s;
}
inline void put(boost::json::object& o, std::string_view key, const std::optional<std::string>& s) {
  if (s) o[key] = *s;
}
inline void put(boost::json::object& o, std::string_view key, const std::optional<Instant>& t) {
  if (t) o[key] = to_ms(*t);
}
inline void put(boost::json::object& o, std::string_view key, const std::optional<Millis>& d) {
  if (d) o[key] = d->count();
}
inline void put(boost::json::object& o, std::string_view key,
                const std::vector<std::string>& list) {
  if (list.empty()) return;
  boost::json::array a;
  for (const auto& s : list) a.emplace_back(s);
  o[key] = std::move(a);
}

}  // namespace tidegate::model
