#pragma once
// Passwords in this process's own argv: other users of the host can read it.

#include <span>

namespace tidegate::app {

// Overwrites the password of every URL with userinfo (`scheme://user:password@host`) by asterisks,
// in place. True: there was one. REQUIRES: the words were copied before.
bool scrub_passwords(std::span<char*> argv);

}  // namespace tidegate::app
