#include "engine/contract/faults.h"

#include <arrow/record_batch.h>

namespace tidegate::engine::contract {
namespace {

class ForwardingWriter : public Writer {
 public:
  explicit ForwardingWriter(std::unique_ptr<Writer> real) : real_(std::move(real)) {}
  const WriterState& state() const override { return real_->state(); }
  Result<std::vector<std::string>> begin(const LoadPlan& plan) override {
    return real_->begin(plan);
  }
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& b) override {
    return real_->write(b);
  }
  Status reject(std::span<const RejectedRow> rows) override { return real_->reject(rows); }
  Result<CommitReport> flush() override { return real_->flush(); }
  Status commit(const std::optional<NewState>& state) override { return real_->commit(state); }
  Status finish() override { return real_->finish(); }
  Status abort(std::span<const RejectedRow> keep) override { return real_->abort(keep); }

 protected:
  std::unique_ptr<Writer> real_;
};

class FaultyWriter final : public ForwardingWriter {
 public:
  FaultyWriter(std::unique_ptr<Writer> real, Fault fault)
      : ForwardingWriter(std::move(real)), fault_(std::move(fault)) {}

  Result<std::vector<std::string>> begin(const LoadPlan& plan) override {
    return around(Call::Begin, [&] { return real_->begin(plan); });
  }
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override {
    return around(Call::Write, [&] { return real_->write(batch); });
  }
  Result<CommitReport> flush() override {
    return around(Call::Flush, [&] { return real_->flush(); });
  }
  Status commit(const std::optional<NewState>& state) override {
    return around(Call::Commit, [&] { return real_->commit(state); });
  }
  Status finish() override {
    return around(Call::Finish, [&] { return real_->finish(); });
  }

 private:
  template <class F>
  auto around(Call call, F&& real) -> decltype(real()) {
    TG_CHECK(fault_(call, Moment::Before));
    auto result = real();
    if (result) TG_CHECK(fault_(call, Moment::After));
    return result;
  }

  Fault fault_;
};

class LossyWriter final : public ForwardingWriter {
 public:
  using ForwardingWriter::ForwardingWriter;
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override {
    return real_->write(*batch.Slice(0, batch.num_rows() - 1));
  }
};

}  // namespace

Result<std::unique_ptr<Writer>> FaultyDestination::open(const WritePlan& plan) {
  TG_CHECK(fault_(Call::Open, Moment::Before));
  TG_TRY(auto writer, real_.open(plan));
  TG_CHECK(fault_(Call::Open, Moment::After));
  return std::make_unique<FaultyWriter>(std::move(writer), fault_);
}

Result<std::unique_ptr<Writer>> LossyDestination::open(const WritePlan& plan) {
  TG_TRY(auto writer, real_.open(plan));
  return std::make_unique<LossyWriter>(std::move(writer));
}

}  // namespace tidegate::engine::contract
