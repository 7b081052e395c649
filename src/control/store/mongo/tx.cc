#include "control/store/mongo/tx.h"

namespace tidegate::store::mongo {

std::unexpected<Error> lost_race() {
  return fail(
      Code::Unavailable,
      "the store is so busy with the same jobs that a write found no quiet moment; try again",
      "store_contended");
}

Status Tx::add(std::string_view collection, bj::object document) {
  document["seq"] = 1;
  document["writtenBy"] = self;
  return db.insert(collection, document);
}

Status Tx::put(std::string_view collection, bj::object document, std::int64_t seq) {
  document["seq"] = seq + 1;
  document["writtenBy"] = self;
  const bj::object which{{"_id", document["_id"]}, {"seq", seq}};
  TG_TRY(const auto matched, db.replace(collection, which, document));
  if (matched > 0) return {};
  db.lost_race();
  return lost_race();
}

Status Tx::remove(std::string_view collection, const std::string& id, std::int64_t seq) {
  TG_TRY(const auto erased, db.erase(collection, {{"_id", id}, {"seq", seq}}));
  if (erased > 0) return {};
  db.lost_race();
  return lost_race();
}

Result<bool> Tx::touch(std::string_view collection, const std::string& id) {
  TG_TRY(const auto matched,
         db.update(collection, {{"_id", id}}, {{"$inc", bj::object{{"seq", 1}}}}));
  return matched > 0;
}

}  // namespace tidegate::store::mongo
