#pragma once
// A folder for one test, removed afterwards.

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace tidegate::crash {

class Scratch {
 public:
  Scratch() {
    // In memory where there is such a place: a killed process loses nothing of either.
    const std::filesystem::path memory = "/dev/shm";
    const auto base =
        std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
    path_ = (base / "tidegate-XXXXXX").string();
    mkdtemp(path_.data());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(path_); }
  std::string store() const { return path_ + "/store.db"; }

 private:
  std::string path_;
};

}  // namespace tidegate::crash
