#pragma once
// Names of a source's entities and columns. They go into states, events and SQL, none of which can
// hold bytes that are no UTF-8, or a NUL.

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/core/catalog.h"

namespace tidegate::engine {

// What is wrong with a name: `is not valid UTF-8`, `holds a NUL character`; "": nothing.
std::string_view name_fault(std::string_view name);

// `column 2 is named "c\xff", which is not valid UTF-8; rename it`. REQUIRES: a fault.
std::string bad_column(std::size_t number, std::string_view name);

// Entities with such a name or column become bad ones, whichever connector let them through; names
// that are left are escaped.
void refuse_bad_names(Catalog& catalog);

}  // namespace tidegate::engine
