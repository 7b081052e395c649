#pragma once
// Passwords in URLs: those of this process's own argv, which other users of the host can read, and
// those of settings that are shown.

#include <span>
#include <string>

namespace tidegate::app {

// Overwrites the password of a URL with userinfo (`scheme://user:password@host`) by asterisks, in
// place. True: there was one.
bool scrub_password(std::span<char> url);
// For people: without the password, whatever it looks like, and without the query, which may hold
// one too (`?password=…`).
std::string shown_url(std::string url);
// In every word. REQUIRES: the words were copied before.
bool scrub_passwords(std::span<char*> argv);

}  // namespace tidegate::app
