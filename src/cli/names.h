#pragma once
// Tables show names where the API answers ids.

#include <map>
#include <string>

#include "cli/api_client.h"
#include "cli/output.h"

namespace tidegate::cli {

using Names = std::map<std::string, std::string>;  // by id

// Of the items at `path` (`/sync-jobs`), each a `what`, whose ids stand in `field` (one id or a
// list) of `rows`. Empty when no table is printed. One that is gone is "NAME (deleted)", or
// "deleted job ID" where its name is gone too; one out of reach has no name: a table is worth more
// than that.
Names names_for(ApiClient& api, const Args& args, const std::string& path, std::string_view what,
                const boost::json::value& rows, std::string_view field);

// Its name, else the id itself.
std::string name_or_id(const Names& names, std::string_view id);

// A column of names for the ids in `field`. REQUIRES: names outlives it.
Column name_column(std::string title, const std::string& field, const Names& names);

}  // namespace tidegate::cli
