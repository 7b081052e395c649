// Any JSON as a job of the API and as one that a store kept: a job that is accepted is answered,
// sent back and stored as the same job.

#include <cstdlib>
#include <string_view>

#include "base/json.h"
#include "control/model/job_json.h"
#include "control/model/storage_json.h"

namespace {

using namespace tidegate;

void require(bool holds) {
  if (!holds) std::abort();
}

void from_a_client(const boost::json::object& o) {
  const auto spec = model::job_spec_from_json(o);
  if (!spec) {
    require(!spec.error().details.empty());
    return;
  }
  const auto answered = model::job_spec_from_json(model::to_json(*spec));
  require(answered.has_value() && *answered == *spec);
  const auto stored = model::job_spec_from_stored(model::to_stored(*spec));
  require(stored.has_value() && *stored == *spec);
  model::job_warnings(*spec);
}

void from_a_store(const boost::json::value& v) {
  if (const auto spec = model::job_spec_from_stored(v)) {
    const auto again = model::job_spec_from_stored(model::to_stored(*spec));
    require(again.has_value() && *again == *spec);
  }
  if (const auto run = model::run_from_stored(v)) {
    require(model::run_from_stored(model::to_stored(*run)).has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto v = json::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!v) return 0;
  if (v->is_object()) from_a_client(v->get_object());
  from_a_store(*v);
  return 0;
}
