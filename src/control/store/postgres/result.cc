#include "control/store/postgres/result.h"

#include <libpq-fe.h>

#include <charconv>
#include <cstring>

#include "control/store/postgres/params.h"

namespace tidegate::store::postgres {

bool Row::null(int column) const { return PQgetisnull(result_, row_, first_ + column) == 1; }

std::int64_t Row::integer(int column) const {
  const std::string_view bytes = view(column);
  if (bytes.empty()) return 0;
  // The sign is that of the first byte.
  std::uint64_t v = (static_cast<unsigned char>(bytes.front()) & 0x80U) != 0 ? ~0ULL : 0;
  for (const char c : bytes) v = v << 8 | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(v);
}

std::string_view Row::view(int column) const {
  return {PQgetvalue(result_, row_, first_ + column),
          static_cast<std::size_t>(PQgetlength(result_, row_, first_ + column))};
}

Instant Row::time(int column) const { return from_pg_time(integer(column)); }

int Rows::size() const { return PQntuples(result_.get()); }

std::int64_t Rows::changed() const {
  const char* text = PQcmdTuples(result_.get());
  std::int64_t n = 0;
  std::from_chars(text, text + std::strlen(text), n);
  return n;
}

std::string_view Rows::tag() const { return PQcmdStatus(result_.get()); }

void Rows::Clear::operator()(pg_result* r) const { PQclear(r); }

}  // namespace tidegate::store::postgres
