#pragma once
// What of JSON has no place in jsonb.

#include <string>
#include <string_view>

namespace tidegate::engine::postgres {

// Why jsonb cannot hold the text: it is no JSON, or holds \u0000, half a surrogate pair, a number
// beyond numeric (131,072 digits before the point, 16,383 after) or more than 5,000 levels; "": it
// can. Short texts without anything that looks like these are taken for the JSON that columns of
// JSON hold by agreement (catalog.h), unread.
std::string jsonb_fault(std::string_view text);

}  // namespace tidegate::engine::postgres
