#pragma once
// A destination with faults around a real one. No switch for them stands in the product.

#include <functional>
#include <memory>
#include <string_view>

#include "engine/core/destination.h"

namespace tidegate::engine::contract {

// The calls a run makes, in this order for a run without rejected rows.
enum class Call : std::uint8_t { Open, Begin, Write, Flush, Commit, Finish };
inline constexpr std::string_view kCallNames[] = {"open",  "begin",  "write",
                                                  "flush", "commit", "finish"};
enum class Moment : std::uint8_t { Before, After };

// Called around each call; an error takes the place of the call (Before), or of its answer (After:
// "committed but the reply was lost"). It may also not return (a crash).
using Fault = std::function<Status(Call, Moment)>;

class FaultyDestination final : public Destination {
 public:
  FaultyDestination(Destination& real, Fault fault) : real_(real), fault_(std::move(fault)) {}
  std::string identity() const override { return real_.identity(); }
  bool has_keys() const override { return real_.has_keys(); }
  Status check() override { return real_.check(); }
  Result<WriterState> inspect(const WritePlan& plan) override { return real_.inspect(plan); }
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Destination& real_;
  Fault fault_;
};

// Loses the last row of every batch and says nothing.
class LossyDestination final : public Destination {
 public:
  explicit LossyDestination(Destination& real) : real_(real) {}
  std::string identity() const override { return real_.identity(); }
  bool has_keys() const override { return real_.has_keys(); }
  Status check() override { return real_.check(); }
  Result<WriterState> inspect(const WritePlan& plan) override { return real_.inspect(plan); }
  Result<std::unique_ptr<Writer>> open(const WritePlan& plan) override;

 private:
  Destination& real_;
};

}  // namespace tidegate::engine::contract
