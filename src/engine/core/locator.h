#pragma once
// How a row that a destination refuses is named: its place in the source is not known there, its
// key is.

#include <arrow/type_fwd.h>

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace tidegate::engine {

// `orders (id=17, day=2026-11-28)`, at most 60 bytes of each value; without a key the entity alone.
std::string key_locator(const std::string& entity, const std::vector<std::string>& key,
                        const arrow::RecordBatch& batch, std::int64_t row);
// Of a row as staged, its columns' texts by their names.
std::string key_locator(const std::string& entity, const std::vector<std::string>& key,
                        const boost::json::object& row);

}  // namespace tidegate::engine
