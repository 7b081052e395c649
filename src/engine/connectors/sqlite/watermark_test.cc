// The watermark adversary over the SQLite destination.

#include "engine/connectors/sqlite/sqlite_fixture.h"
#include "engine/contract/watermark_contract.h"

namespace tidegate::engine::contract {
namespace {

TIDEGATE_WATERMARK_CONTRACT(Sqlite, sqlite_under_test());

}  // namespace
}  // namespace tidegate::engine::contract
