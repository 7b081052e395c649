#pragma once
// Passwords in URLs: those of this process's own argv, which other users of the host can read, and
// those of settings that are shown.

#include <span>
#include <string>
#include <string_view>

namespace tidegate::app {

// Overwrites the password of a URL with userinfo (`scheme://user:password@host`) by asterisks, in
// place. True: there was one.
bool scrub_password(std::span<char> url);
// An '@', '/' or '?' that is not percent-encoded stands before the last '@' of what is not the
// query, so that libraries take a piece of the password for the host. REQUIRES: `url` has a "://".
bool has_unescaped_password(std::string_view url);
// For people: without the password, whatever it looks like, and without the query, which may hold
// one too (`?password=…`).
std::string shown_url(std::string url);
// In every word. REQUIRES: the words were copied before.
bool scrub_passwords(std::span<char*> argv);

}  // namespace tidegate::app
