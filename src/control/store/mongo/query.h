#pragma once
// Lists by name, in pages.

#include <string>

#include "control/store/mongo/client.h"
#include "control/store/rules.h"

namespace tidegate::store::mongo {

// As rules::contains_ignoring_case.
bj::object containing(std::string_view part);
// Adds a condition to those that the filter has.
void require(bj::object& filter, bj::object condition);
// Beyond (first, second) in the order of two fields.
bj::object beyond(std::string_view first, const bj::value& at, std::string_view second,
                  const bj::value& id, bool ascending);

template <class T, class From, class Name>
Result<Listing<T>> list_by_name(Conn& conn, std::string_view collection, std::string_view kind,
                                bj::object filter, const Page& page, From from, Name name_of) {
  TG_TRY(const auto cursor, rules::decode_cursor(page, kind, 2));
  Listing<T> list;
  TG_TRY(list.total, conn.count(collection, filter));
  if (cursor) {
    require(filter,
            beyond("name", bj::string((*cursor)[0]), "_id", bj::string((*cursor)[1]), true));
  }
  const std::size_t limit = rules::page_limit(page);
  TG_CHECK(conn.each(
      collection,
      {.filter = std::move(filter), .sort = {{"name", 1}, {"_id", 1}}, .limit = limit + 1},
      [&](bj::object o) -> Result<bool> {
        TG_TRY(T item, from(std::move(o)));
        list.items.push_back(std::move(item));
        return true;
      }));
  rules::end_page(list, limit, [&](const T& last) {
    return rules::name_cursor(kind, name_of(last), last.id.str());
  });
  return list;
}

}  // namespace tidegate::store::mongo
