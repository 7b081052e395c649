#include "app/commands/transfer_progress.h"

#include <fmt/format.h>

#include "base/json.h"

namespace tidegate::app {
namespace {

constexpr std::chrono::milliseconds kRedraw{200}, kLine{1000};

}  // namespace

TransferProgress::TransferProgress(cli::Context& context, std::string stopped)
    : context_(context), stopped_(std::move(stopped)) {
  context_.catch_interrupts();
}

Status TransferProgress::step(std::int64_t records) {
  if (context_.interrupted != nullptr && context_.interrupted->load()) {
    clear();
    return fail(Code::Cancelled, stopped_, "interrupted");
  }
  const auto now = Steady::now();
  if (now < next_) return {};
  next_ = now + (context_.io.out_is_terminal ? kRedraw : kLine);
  if (!context_.io.out_is_terminal) {
    context_.io.out(json::write(boost::json::object{{"type", "progress"}, {"records", records}}) +
                    "\n");
  } else if (context_.io.err_is_terminal) {
    context_.io.err(fmt::format("\r{} records", records));
    drawn_ = true;
  }
  return {};
}

void TransferProgress::clear() {
  if (drawn_) context_.io.err("\r\x1b[K");
  drawn_ = false;
}

void TransferProgress::finish(const boost::json::object& result,
                              const std::vector<cli::Column>& columns) {
  clear();
  if (context_.io.out_is_terminal) {
    context_.io.out(cli::format_table(context_.io, result, columns));
    return;
  }
  boost::json::object line{{"type", "result"}};
  for (const auto& member : result) line[member.key()] = member.value();
  context_.io.out(json::write(line) + "\n");
}

}  // namespace tidegate::app
