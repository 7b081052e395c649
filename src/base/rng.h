#pragma once
// Injected randomness: the system's for ids, tokens and jitter; seeded for tests and simulation.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

namespace tidegate {

// Thread-safe.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(std::span<std::byte> out) = 0;
  std::uint64_t next();
  // Uniform in [0, bound); 0 when bound is 0.
  std::uint64_t below(std::uint64_t bound);
};

// getrandom(2): fit for secrets.
class SystemRng final : public Rng {
 public:
  void fill(std::span<std::byte> out) override;
};

// SplitMix64; the same seed gives the same sequence on every machine. Never for secrets.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<std::byte> out) override;

 private:
  std::mutex mutex_;
  std::uint64_t state_;
};

}  // namespace tidegate
