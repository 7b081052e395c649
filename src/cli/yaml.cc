#include "cli/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <sstream>

#include "protocol/fields.h"

namespace tidegate::cli {
namespace {

namespace json = boost::json;
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxValues = 1'000'000;

// Thrown inside this file only, and caught by read_yaml.
struct Wrong {
  YAML::Mark at;
  std::string text;
};

// A plain scalar by YAML 1.2's core schema (so `no` and `1:30` stay text).
json::value plain_scalar(const std::string& s) {
  if (s.empty() || s == "~" || s == "null" || s == "Null" || s == "NULL") return nullptr;
  if (s == "true" || s == "True" || s == "TRUE") return true;
  if (s == "false" || s == "False" || s == "FALSE") return false;
  const char* const begin = s.data() + (s[0] == '+' ? 1 : 0);
  const char* const end = s.data() + s.size();
  std::int64_t i = 0;
  if (const auto r = std::from_chars(begin, end, i); r.ec == std::errc() && r.ptr == end) return i;
  double d = 0;
  const bool numeric = s.find_first_not_of("+-.0123456789eE") == std::string::npos;
  if (const auto r = std::from_chars(begin, end, d);
      numeric && r.ec == std::errc() && r.ptr == end && std::isfinite(d)) {
    return d;
  }
  return json::string(s);
}

class Converter {
 public:
  json::value convert(const YAML::Node& node, int depth) {
    if (depth > kMaxDepth) throw Wrong{node.Mark(), "more than 64 levels of nesting"};
    if (++values_ > kMaxValues) throw Wrong{node.Mark(), "too many values"};
    switch (node.Type()) {
      case YAML::NodeType::Sequence: {
        json::array out;
        for (const YAML::Node& item : node) out.push_back(convert(item, depth + 1));
        return out;
      }
      case YAML::NodeType::Map: {
        json::object out;
        for (const auto& pair : node) {
          if (!pair.first.IsScalar()) throw Wrong{pair.first.Mark(), "a key must be text"};
          const std::string& key = pair.first.Scalar();
          if (out.contains(key)) {
            throw Wrong{pair.first.Mark(), fmt::format("the key \"{}\" is given twice", key)};
          }
          out.emplace(key, convert(pair.second, depth + 1));
        }
        return out;
      }
      case YAML::NodeType::Scalar:
        // yaml-cpp's tag is "?" for a plain scalar and "!" for a quoted one.
        if (node.Tag() == "?") return plain_scalar(node.Scalar());
        return json::string(node.Scalar());
      case YAML::NodeType::Null:
      case YAML::NodeType::Undefined:
        return nullptr;
    }
    return nullptr;
  }

 private:
  std::size_t values_ = 0;
};

class Expander {
 public:
  explicit Expander(const EnvLookup& env) : env_(env) {}

  void walk(json::value& v, const std::string& path) {
    if (auto* s = v.if_string()) {
      if (s->find("${") != json::string::npos) *s = expand(std::string_view(*s), path);
    } else if (auto* a = v.if_array()) {
      for (std::size_t i = 0; i < a->size(); ++i) walk((*a)[i], fmt::format("{}[{}]", path, i));
    } else if (auto* o = v.if_object()) {
      for (auto& [key, item] : *o) {
        walk(item,
             path.empty() ? std::string(key) : fmt::format("{}.{}", path, std::string_view(key)));
      }
    }
  }
  std::vector<FieldError> errors;
  bool malformed = false;

 private:
  std::string expand(std::string_view text, const std::string& path) {
    std::string out;
    while (true) {
      const std::size_t at = text.find("${");
      if (at == std::string_view::npos) return out.append(text);
      if (at > 0 && text[at - 1] == '$') {
        out.append(text.substr(0, at - 1)).append("${");
        text.remove_prefix(at + 2);
        continue;
      }
      const std::size_t close = text.find('}', at);
      if (close == std::string_view::npos) {
        errors.push_back(
            {path, "has a ${ without its }; add it, or write $${ for a literal ${", {}});
        malformed = true;
        return out;
      }
      out.append(text.substr(0, at)).append(variable(text.substr(at + 2, close - at - 2), path));
      text.remove_prefix(close + 1);
    }
  }
  std::string variable(std::string_view inner, const std::string& path) {
    const std::size_t dash = inner.find(":-");
    const std::string name(inner.substr(0, dash));
    const auto value = env_(name);
    if (dash != std::string_view::npos) {
      return value && !value->empty() ? *value : std::string(inner.substr(dash + 2));
    }
    if (!value) {
      errors.push_back({path,
                        fmt::format("the environment variable {} is not set; set it, or give a "
                                    "default as ${{{}:-default}}",
                                    name, name),
                        {}});
    }
    return value.value_or("");
  }
  const EnvLookup& env_;
};

void emit(YAML::Emitter& out, const json::value& v) {
  if (const auto* s = v.if_string()) {
    const std::string text(std::string_view{*s});
    // What would be read back as another type, or as a variable, is quoted.
    if (plain_scalar(text).is_string()) {
      out << text;
    } else {
      out << YAML::DoubleQuoted << text;
    }
  } else if (const auto* a = v.if_array()) {
    if (a->empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const json::value& item : *a) emit(out, item);
    out << YAML::EndSeq;
  } else if (const auto* o = v.if_object()) {
    if (o->empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, item] : *o) {
      out << YAML::Key;
      emit(out, json::string(key));
      out << YAML::Value;
      emit(out, item);
    }
    out << YAML::EndMap;
  } else if (v.is_null()) {
    out << YAML::Null;
  } else {
    out << json::serialize(v);
  }
}

// Where each document begins; nothing else is of interest.
class DocumentStarts final : public YAML::EventHandler {
 public:
  std::vector<YAML::Mark> marks;

 private:
  void OnDocumentStart(const YAML::Mark& mark) override { marks.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// YAML::LoadAll would make documents without end of a comma or bracket that belongs to nothing: the
// parser starts a new one before it and takes nothing.
void check_one_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  while (starts.marks.size() < 2 && parser.HandleNextDocument(starts)) {
  }
  if (starts.marks.size() < 2) return;
  throw Wrong{starts.marks[1],
              "a second YAML document, or a sign that belongs to nothing, begins here; put "
              "everything into one document"};
}

}  // namespace

Result<boost::json::value> read_yaml(std::string_view text, std::string_view origin) {
  const auto wrong = [&](const YAML::Mark& at, std::string_view what) {
    return fail(Code::Malformed, fmt::format("{}, line {}, column {}: {}", origin, at.line + 1,
                                             at.column + 1, what));
  };
  const std::string utf8 = protocol::to_utf8(text);
  if (utf8 != text) {
    const auto bad = std::ranges::mismatch(text, utf8).in1;
    return fail(Code::Malformed,
                fmt::format("{}, line {}: the text is not UTF-8; save the file as UTF-8", origin,
                            1 + std::count(text.begin(), bad, '\n')));
  }
  try {
    check_one_document(utf8);
    return Converter().convert(YAML::Load(utf8), 0);
  } catch (const Wrong& e) {
    return wrong(e.at, e.text);
  } catch (const YAML::Exception& e) {
    return wrong(e.mark, e.msg);
  } catch (const std::exception& e) {
    return fail(Code::Malformed, fmt::format("{} cannot be read: {}", origin, e.what()));
  }
}

Result<boost::json::value> expand_env(boost::json::value document, const EnvLookup& env) {
  Expander expander(env);
  expander.walk(document, "");
  if (!expander.errors.empty()) {
    return expander.malformed
               ? fail(Error{Code::Malformed, "a reference to an environment variable is not valid",
                            "env_malformed", std::move(expander.errors)})
               : fail(Error{Code::Invalid, "environment variables are missing", "env_not_set",
                            std::move(expander.errors)});
  }
  return document;
}

std::string write_yaml(const boost::json::value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace tidegate::cli
