#pragma once
// The process of one run.

namespace tidegate::engine {

// Before anything secret is read: no core file, no ptrace by other processes of this user, no
// orphan that writes on when its parent was killed; the descriptors of the session stay its own.
// One that the system refuses is left out. REQUIRES: one thread.
void protect_process();

}  // namespace tidegate::engine
