#include "cli/apply_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/value_from.hpp>

#include "base/json.h"
#include "base/secret.h"
#include "cli/api_client.h"
#include "cli/output.h"
#include "control/model/connector_facts.h"
#include "control/model/job_json.h"

namespace tidegate::cli {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::string_view kSections[] = {"sources", "destinations", "jobs"};
constexpr std::size_t kMaxDiff = 20;

// A place holder for ids that are not known yet; the model wants some text.
constexpr const char* kLater = "(later)";

const value* by_name(const boost::json::array& items, std::string_view name) {
  for (const value& item : items) {
    if (text_at(item, "name") == name) return &item;
  }
  return nullptr;
}
const value* by_id(const boost::json::array& items, std::string_view id) {
  for (const value& item : items) {
    if (text_at(item, "id") == id) return &item;
  }
  return nullptr;
}

class FileReader {
 public:
  explicit FileReader(const Existing& existing) : existing_(existing) {}

  Result<Declared> read(const value& document) {
    if (!document.is_object()) {
      return fail(Code::Malformed, "the file must be a map with sources, destinations and jobs");
    }
    json::Reader r(document.get_object(), "", errors_);
    for (std::size_t s = 0; s < 3; ++s) {
      const object* section = r.child(kSections[s]);
      if (!section) continue;
      for (const auto& [name, item] : *section) {
        std::string path = fmt::format("{}[\"{}\"]", kSections[s], std::string_view(name));
        if (!item.is_object()) {
          errors_.push_back(
              {std::move(path), fmt::format("must be a map, not {}", json::type_name(item)), {}});
        } else if (static_cast<Section>(s) != Section::Job) {
          connection(s, name, item.get_object(), std::move(path));
        }
      }
    }
    if (const auto* jobs = document.get_object().if_contains("jobs"); jobs && jobs->is_object()) {
      for (const auto& [name, item] : jobs->get_object()) {
        if (item.is_object())
          job(name, item.get_object(), fmt::format("jobs[\"{}\"]", std::string_view(name)));
      }
    }
    r.finish();
    if (errors_.empty()) return std::move(out_);
    return fail(Error{Code::Invalid, "the file is not valid; nothing was changed", "invalid_file",
                      std::move(errors_)});
  }

 private:
  void connection(std::size_t section, std::string_view name, const object& item,
                  std::string path) {
    json::Reader r(item, std::move(path), errors_);
    const auto type = r.text("type", {.min = 1, .required = true});
    const object* config = r.child("config");
    r.finish();
    out_.items[section][std::string(name)] = {{"type", type.value_or("")},
                                              {"config", config ? *config : object()}};
  }

  void job(std::string_view name, const object& item, const std::string& path) {
    object fields = item;
    for (const auto& [word, section] :
         {std::pair{"source", Section::Source}, {"destination", Section::Destination}}) {
      const std::string ref = text_at(item, word);
      const auto s = static_cast<std::size_t>(section);
      if (ref.empty()) {
        errors_.push_back(
            {path + "." + word, fmt::format("is missing; name one of {}", kSections[s]), {}});
      } else if (!out_.items[s].contains(ref) && !by_name(existing_.items[s], ref)) {
        errors_.push_back({path + "." + word, unknown_name(s, ref), {}});
      }
      fields.erase(word);
    }
    for (const char* taken : {"name", "dataSourceId", "destinationDatabaseId"}) {
      if (item.contains(taken)) {
        errors_.push_back(
            {path + "." + taken,
             "is not part of a file; the name is the key, connections are source and destination",
             {}});
      }
      fields[taken] = std::string_view(taken) == "name" ? name : kLater;
    }
    // One form for comparison: defaults spelled out, durations and modes in their canonical
    // spelling.
    auto spec = model::job_spec_from_json(fields);
    if (!spec) {
      for (FieldError& d : spec.error().details) {
        d.field = path + "." + d.field;
        errors_.push_back(std::move(d));
      }
      return;
    }
    check_destination(*spec, text_at(item, "destination"), path);
    object canonical = model::to_json(*spec);
    for (const char* id : {"name", "dataSourceId", "destinationDatabaseId"}) canonical.erase(id);
    canonical["source"] = text_at(item, "source");
    canonical["destination"] = text_at(item, "destination");
    out_.items[static_cast<std::size_t>(Section::Job)][std::string(name)] = std::move(canonical);
  }

  // The server cannot try a job one of whose connections is new.
  void check_destination(const model::JobSpec& job, const std::string& destination,
                         const std::string& path) {
    constexpr auto kSection = static_cast<std::size_t>(Section::Destination);
    const auto& declared = out_.items[kSection];
    std::string type;
    if (const auto it = declared.find(destination); it != declared.end()) {
      type = text_at(it->second, "type");
    } else {
      for (const value& item : existing_.items[kSection]) {
        if (text_at(item, "name") == destination) type = text_at(item, "type");
      }
    }
    for (FieldError& e : model::destination_problems(job, destination, type)) {
      e.field = path + "." + e.field;
      errors_.push_back(std::move(e));
    }
  }

  std::string unknown_name(std::size_t section, std::string_view ref) const {
    std::vector<std::string> names;
    for (const auto& [name, item] : out_.items[section]) names.push_back(name);
    for (const value& item : existing_.items[section]) names.push_back(text_at(item, "name"));
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view near = json::nearest(ref, views);
    return fmt::format("\"{}\" is neither in the file nor on the server{}", ref,
                       near.empty() ? fmt::format("; add it to {}", kSections[section])
                                    : fmt::format("; did you mean \"{}\"?", near));
  }

  const Existing& existing_;
  std::vector<FieldError> errors_;
  Declared out_;
};

// What exists, in the file's form.
object file_form(Section section, const value& item, const Existing& existing) {
  if (section != Section::Job) {
    const value& config = at_path(item, "config");
    return {{"type", text_at(item, "type")},
            {"config", config.is_object() ? config : value(object())}};
  }
  object out;
  const auto spec = model::job_spec_from_json(item.is_object() ? item.get_object() : object());
  if (spec) out = model::to_json(*spec);
  for (const char* id : {"name", "dataSourceId", "destinationDatabaseId"}) out.erase(id);
  for (const auto& [field, name, s] :
       {std::tuple{"dataSourceId", "source", Section::Source},
        {"destinationDatabaseId", "destination", Section::Destination}}) {
    const value* connection =
        by_id(existing.items[static_cast<std::size_t>(s)], text_at(item, field));
    out[name] = connection ? text_at(*connection, "name") : text_at(item, field);
  }
  return out;
}

std::string shown(const value* v) { return v ? json::write(*v) : "(none)"; }

// The config of a connection may hold secrets in plain text, and which of its fields do is not
// known here. A field whose old value the server shows is none.
bool may_be_secret(std::string_view path, const value* now, const value& wanted) {
  return path.starts_with("config.") &&
         (now == nullptr || now->is_null() || now->is_structured() || wanted.is_structured());
}

bool is_masked(const value& v) {
  return v.is_string() && std::string_view(v.get_string()) == kMasked;
}

// Lines for what differs; `secrets` is set when a masked value stands against a declared one.
void diff(const std::string& path, const value* now, const value* wanted,
          std::vector<std::string>& out, bool& secrets) {
  if (now && is_masked(*now) && wanted && !wanted->is_null()) {
    secrets = true;
    return;
  }
  if (now && wanted && now->is_object() && wanted->is_object()) {
    for (const auto& [key, v] : wanted->get_object()) {
      diff(path.empty() ? std::string(key) : path + "." + std::string(key),
           now->get_object().if_contains(key), &v, out, secrets);
    }
    for (const auto& [key, v] : now->get_object()) {
      if (!wanted->get_object().contains(key)) {
        diff(path.empty() ? std::string(key) : path + "." + std::string(key), &v, nullptr, out,
             secrets);
      }
    }
    return;
  }
  const value null;
  if ((now ? *now : null) == (wanted ? *wanted : null)) return;
  const bool hidden = wanted && may_be_secret(path, now, *wanted);
  out.push_back(fmt::format("{}: {} → {}", path, shown(now), hidden ? "(set)" : shown(wanted)));
}

}  // namespace

std::string_view section_path(Section section) {
  constexpr std::string_view kPaths[] = {"/data-sources", "/destinations", "/sync-jobs"};
  return kPaths[static_cast<std::size_t>(section)];
}

Result<Declared> read_declared(const value& document, const Existing& existing) {
  return FileReader(existing).read(document);
}

namespace {

// What declared jobs refer to cannot be deleted, whether the file names it or not.
const std::string* user_of(const Declared& declared, Section section, const std::string& name) {
  if (section == Section::Job) return nullptr;
  const auto word = kSectionNames[static_cast<std::size_t>(section)];
  for (const auto& [job, fields] : declared.items[static_cast<std::size_t>(Section::Job)]) {
    if (text_at(fields, word) == name) return &job;
  }
  return nullptr;
}

void plan_prune(const Declared& declared, const Existing& existing, ApplyPlan& plan) {
  // Jobs first: a connection in use cannot be deleted.
  for (std::size_t s = 3; s-- > 0;) {
    const auto section = static_cast<Section>(s);
    for (const value& item : existing.items[s]) {
      const std::string name = text_at(item, "name");
      if (declared.items[s].contains(name)) continue;
      if (const std::string* job = user_of(declared, section, name)) {
        plan.notes.push_back(fmt::format("{} \"{}\" is not pruned: job \"{}\" of the file uses it",
                                         kSectionNames[s], name, *job));
        continue;
      }
      plan.changes.push_back({.kind = ChangeKind::Delete,
                              .section = section,
                              .name = name,
                              .id = text_at(item, "id"),
                              .revision = cell_text(at_path(item, "revision"))});
    }
  }
}

}  // namespace

ApplyPlan plan_apply(const Declared& declared, const Existing& existing, bool prune,
                     bool send_secrets) {
  ApplyPlan plan;
  for (std::size_t s = 0; s < 3; ++s) {
    const auto section = static_cast<Section>(s);
    for (const auto& [name, wanted] : declared.items[s]) {
      const value* item = by_name(existing.items[s], name);
      Change change{.kind = item ? ChangeKind::Update : ChangeKind::Create,
                    .section = section,
                    .name = name,
                    .body = wanted};
      if (!item) {
        plan.changes.push_back(std::move(change));
        continue;
      }
      bool secrets = false;
      const value now(file_form(section, *item, existing));
      const value then(wanted);
      diff("", &now, &then, change.diff, secrets);
      if (secrets && send_secrets) change.diff.emplace_back("config: secrets are sent again");
      if (secrets && !send_secrets) {
        plan.notes.push_back(
            fmt::format("secrets of {} \"{}\" cannot be compared; --send-secrets sends them again",
                        kSectionNames[s], name));
      }
      if (change.diff.empty()) {
        ++plan.unchanged;
        continue;
      }
      change.id = text_at(*item, "id");
      change.revision = cell_text(at_path(*item, "revision"));
      plan.changes.push_back(std::move(change));
    }
  }
  if (prune) plan_prune(declared, existing, plan);
  return plan;
}

std::string format_plan(const ApplyPlan& plan) {
  std::string out;
  std::array<std::size_t, 3> counts{};
  for (const Change& c : plan.changes) {
    ++counts[static_cast<std::size_t>(c.kind)];
    out += fmt::format("{} {} {}\n", std::string_view("+~-")[static_cast<std::size_t>(c.kind)],
                       kSectionNames[static_cast<std::size_t>(c.section)], c.name);
    for (std::size_t i = 0; i < c.diff.size() && i < kMaxDiff; ++i)
      out += "    " + c.diff[i] + "\n";
    if (c.diff.size() > kMaxDiff)
      out += fmt::format("    … and {} more\n", c.diff.size() - kMaxDiff);
  }
  for (const std::string& note : plan.notes) out += "note: " + note + "\n";
  return out + fmt::format("{} to create, {} to change, {} to delete, {} unchanged\n", counts[0],
                           counts[1], counts[2], plan.unchanged);
}

object change_json(const Change& change) {
  constexpr std::string_view kActions[] = {"create", "update", "delete"};
  return {{"action", kActions[static_cast<std::size_t>(change.kind)]},
          {"kind", kSectionNames[static_cast<std::size_t>(change.section)]},
          {"name", change.name},
          {"diff", boost::json::value_from(change.diff)}};
}

object api_body(const Change& change, const std::map<std::string, std::string>& source_ids,
                const std::map<std::string, std::string>& destination_ids) {
  object body{{"name", change.name}};
  for (const auto& [key, v] : change.body) body[key] = v;
  if (change.section != Section::Job) return body;
  const auto id_of = [&](const char* field, const std::map<std::string, std::string>& ids) {
    const auto it = ids.find(text_at(body, field));
    // One that is not created yet, which no dry run minds, or could not be: the server says so.
    return it == ids.end() ? text_at(body, field) : it->second;
  };
  body["dataSourceId"] = id_of("source", source_ids);
  body["destinationDatabaseId"] = id_of("destination", destination_ids);
  body.erase("source");
  body.erase("destination");
  return body;
}

namespace {

// `my db`, `password` → `${MY_DB_PASSWORD}`.
value without_secrets(const value& v, const std::string& prefix) {
  if (is_masked(v)) {
    std::string name;
    for (const char c : prefix)
      name += std::isalnum(static_cast<unsigned char>(c))
                  ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                  : '_';
    return value("${" + name + "}");
  }
  if (const auto* s = v.if_string(); s && s->find("${") != boost::json::string::npos) {
    std::string text;
    for (std::size_t i = 0; i < s->size(); ++i) {
      if ((*s)[i] == '$' && i + 1 < s->size() && (*s)[i + 1] == '{') text += '$';
      text += (*s)[i];
    }
    return value(text);
  }
  if (const auto* o = v.if_object()) {
    object out;
    for (const auto& [key, item] : *o)
      out[key] = without_secrets(item, prefix + "_" + std::string(key));
    return out;
  }
  if (const auto* a = v.if_array()) {
    boost::json::array out;
    for (const value& item : *a) out.push_back(without_secrets(item, prefix));
    return out;
  }
  return v;
}

}  // namespace

object export_file(const Existing& existing) {
  object out;
  const object defaults = model::to_json(model::JobSpec{});
  for (std::size_t s = 0; s < 3; ++s) {
    object section;
    for (const value& item : existing.items[s]) {
      const std::string name = text_at(item, "name");
      object form = file_form(static_cast<Section>(s), item, existing);
      if (static_cast<Section>(s) != Section::Job) {
        section[name] =
            object{{"type", form["type"]}, {"config", without_secrets(form["config"], name)}};
        continue;
      }
      object job{{"source", form["source"]}, {"destination", form["destination"]}};
      for (const auto& [key, v] : form) {
        const value* standard = defaults.if_contains(key);
        if (!job.contains(key) && !(standard && *standard == v))
          job[key] = without_secrets(v, name);
      }
      section[name] = std::move(job);
    }
    out[kSections[s]] = std::move(section);
  }
  return out;
}

}  // namespace tidegate::cli
