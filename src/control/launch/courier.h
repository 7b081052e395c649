#pragma once
// Carries started children from a spawner's own table of descriptors into the process's. Internal
// to launch.
//
// A start copies the table of the thread that makes it, and its exec closes every copy: with a
// thousand children (five descriptors each) that took 0.3 ms of each start. A spawner has a table
// of its own (unshare(2), CLONE_FILES), where only its newest child is.

#include <initializer_list>
#include <optional>

#include "base/error.h"
#include "base/subprocess.h"
#include "control/launch/launcher.h"

namespace tidegate::launch {

// Gives the calling thread its own table of descriptors with the standard streams and those of
// `keep`; leaves it as it is where the system refuses.
void own_descriptors(std::initializer_list<int> keep);

// Ends and reaps a child that nobody can watch.
void end_unheard(pid_t pid);

// send() from any thread and table; receive() on one.
class Courier {
 public:
  Status open();
  int incoming() const { return receiver_.get(); }  // readable when there is something
  int outgoing() const { return sender_.get(); }

  // The child's descriptors are copied: the caller closes its own. Blocks while many are on their
  // way. Unavailable: the system is out of what it needs.
  Status send(LaunchId id, const Child& child) const;

  struct Delivery {
    LaunchId id{};
    Result<Child> child;  // Unavailable: no room for its descriptors; it was ended and reaped
  };
  // Without waiting; nullopt: nothing is there.
  std::optional<Delivery> receive() const;

 private:
  UniqueFd sender_, receiver_;
};

}  // namespace tidegate::launch
