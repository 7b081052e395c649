#pragma once
// A visitor for std::visit out of lambdas.

namespace tidegate {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace tidegate
