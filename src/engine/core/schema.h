#pragma once
// Small helpers over Arrow schemas that both ends share.

#include <arrow/type_fwd.h>

#include <memory>
#include <string>

#include "base/error.h"

namespace tidegate::engine {

// Marks a utf8 field whose values are JSON texts.
std::shared_ptr<arrow::Field> mark_json(const std::shared_ptr<arrow::Field>& field);
bool is_json(const arrow::Field& field);

// A column without any value, so that nobody knows of what type (arrow::null()): it fits every
// other, and no change from or to it is one.
inline constexpr const char* kNoValues = "no values";

// `whole number`, `decimal(12,2)`, `timestamp with time zone`, …: types in words a user knows.
std::string type_words(const arrow::Field& field);

// An Arrow status as ours: Cancelled, Unavailable (I/O), Internal (memory), else Invalid.
Error from_arrow(const arrow::Status& status, std::string_view doing);

}  // namespace tidegate::engine
