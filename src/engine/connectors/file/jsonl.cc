#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/utf8.h"
#include "engine/connectors/file/batch_reader.h"
#include "engine/connectors/file/json_text.h"
#include "engine/connectors/file/lines.h"
#include "engine/connectors/file/table.h"
#include "engine/core/context.h"
#include "engine/core/names.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {
namespace {

constexpr std::size_t kMaxColumns = 2000;
constexpr std::string_view kTooLong = "it is longer than 16 MiB";
constexpr std::string_view kTwice = "it has one name twice; keep one of the two";

bool is_blank(std::string_view s) { return s.find_first_not_of(" \t\r") == std::string_view::npos; }

// Reads one line; what is wrong with it, or "".
std::string_view read_line(JsonObjectReader& reader, std::string_view line,
                           std::vector<JsonMember>& members) {
  if (!is_utf8(line)) return "it is not valid UTF-8; convert the file (iconv -t UTF-8)";
  switch (reader.read(line, members)) {
    case JsonObjectReader::Fault::None:
      return "";
    case JsonObjectReader::Fault::NotOneObject:
      return "it is not one JSON object; write one complete object a line";
    case JsonObjectReader::Fault::HalfSurrogate:
      return "it holds half a surrogate pair (\\ud800 to \\udfff alone); write the character "
             "itself "
             "or both halves";
  }
  return "";
}

// Names to indexes; rows most often have their members in one order, so the next index is tried
// first.
class Names {
 public:
  std::optional<std::size_t> find(std::string_view name) {
    if (hint_ < names_.size() && names_[hint_] == name) return hint_++;
    const auto it = index_.find(std::string(name));
    if (it == index_.end()) return std::nullopt;
    hint_ = it->second + 1;
    return it->second;
  }
  std::size_t add(std::string_view name) {
    names_.emplace_back(name);
    index_.emplace(names_.back(), names_.size() - 1);
    hint_ = names_.size();
    return names_.size() - 1;
  }
  void rewind() { hint_ = 0; }
  const std::vector<std::string>& all() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::size_t> index_;
  std::size_t hint_ = 0;
};

// What the values of one member have in common.
struct MemberGuess {
  bool string = false, boolean = false, number = false, nested = false;
  ColumnGuess numbers;

  void add(const JsonMember& m) {
    switch (m.kind) {
      case JsonKind::Null:
        break;
      case JsonKind::Bool:
        boolean = true;
        break;
      case JsonKind::Number:
        number = true;
        numbers.add(classify_json_number(m.raw));
        break;
      case JsonKind::String:
        string = true;
        break;
      case JsonKind::Nested:
        nested = true;
        break;
    }
  }
  // Values of several kinds stay the JSON they are: as text, 1 and "1" would be the same.
  std::shared_ptr<arrow::Field> field(const std::string& name) const {
    const int kinds = string + boolean + number + nested;
    auto json = mark_json(arrow::field(name, arrow::utf8()));
    if (kinds > 1 || nested) return json;
    if (boolean) return arrow::field(name, arrow::boolean());
    if (string) return arrow::field(name, arrow::utf8());
    auto field = numbers.field(name);
    return field->type()->id() == arrow::Type::STRING ? json : field;
  }
};

// Stamps which members a line had, to find one that it has twice.
class Seen {
 public:
  void begin() { ++line_; }
  bool again(std::size_t index) {
    if (index >= last_.size()) last_.resize(index + 1, 0);
    return std::exchange(last_[index], line_) == line_;
  }

 private:
  std::vector<std::uint64_t> last_;
  std::uint64_t line_ = 0;
};

// Every name of a good line is a column, so this is one that the scan refused, or did not see yet.
constexpr std::string_view kUnknown =
    "it has a name that no good line had when the file was looked at; run again";

struct JsonlScan {
  Names names;
  std::vector<MemberGuess> guesses;
  std::int64_t rows = 0;
  std::string first_bad;  // file, line and reason
};

// Learns from one line, unless something is wrong with it: reading it will say what.
class LineScan {
 public:
  explicit LineScan(JsonlScan& scan) : scan_(scan) {}

  // Why the line is none, or "".
  std::string_view add(std::string_view line) {
    if (const auto fault = read_line(reader_, line, members_); !fault.empty()) return fault;
    scan_.names.rewind();
    seen_.begin();
    known_.clear();
    fresh_.clear();
    for (const JsonMember& m : members_) {
      const auto index = scan_.names.find(m.key);
      if (index && seen_.again(*index)) return kTwice;
      if (index) {
        known_.emplace_back(*index, &m);
      } else {
        fresh_.push_back(&m);
      }
    }
    if (repeats()) return kTwice;
    for (const JsonMember* m : fresh_) {
      if (!name_fault(m->key).empty()) bad_name_ = m->key;
    }
    for (const auto& [index, m] : known_) scan_.guesses[index].add(*m);
    for (const JsonMember* m : fresh_) {
      scan_.names.add(m->key);
      scan_.guesses.emplace_back().add(*m);
    }
    ++scan_.rows;
    return "";
  }

  // Of a column that nothing can hold, in the last line; nullopt: there was none.
  const std::optional<std::string>& bad_name() const { return bad_name_; }

 private:
  bool repeats() const {
    std::vector<std::string_view> keys;
    for (const JsonMember* m : fresh_) keys.push_back(m->key);
    std::ranges::sort(keys);
    return std::ranges::adjacent_find(keys) != keys.end();
  }

  JsonlScan& scan_;
  std::optional<std::string> bad_name_;
  JsonObjectReader reader_;
  Seen seen_;
  std::vector<JsonMember> members_;
  std::vector<std::pair<std::size_t, const JsonMember*>> known_;
  std::vector<const JsonMember*> fresh_;
};

// True: to the end; false: `sample` bytes are full.
Result<bool> scan_lines(const std::shared_ptr<const InputFile>& file, bool gzip, JsonlScan& scan,
                        std::optional<std::int64_t> sample, const std::stop_token& stop) {
  LineReader reader(stream_file(file, gzip));
  LineScan line_scan(scan);
  std::vector<LineReader::Line> lines;
  std::int64_t bytes = 0, taken = 0;
  for (;;) {
    if (stop.stop_requested()) return fail(Code::Cancelled, "stopped while reading files");
    TG_TRY(const bool more, reader.next(lines, bytes));
    if (!more) {
      TG_CHECK(file->unchanged());
      return true;
    }
    taken += bytes;
    for (const auto& line : lines) {
      if (!line.too_long && is_blank(line.text)) continue;
      const std::string_view fault = line.too_long ? kTooLong : line_scan.add(line.text);
      if (!fault.empty() && scan.first_bad.empty()) {
        scan.first_bad = fmt::format("'{}' line {}: {}", file->path(), line.number, fault);
      }
      if (const auto& name = line_scan.bad_name()) {
        return fail(
            data_error(fmt::format("'{}' line {}: the name \"{}\" {}; rename it", file->path(),
                                   line.number, escape_bytes(*name), name_fault(*name))));
      }
      if (scan.names.all().size() > kMaxColumns) {
        return fail(data_error(fmt::format(
            "'{}' line {}: more than {} different names; keep what varies inside one member",
            file->path(), line.number, kMaxColumns)));
      }
    }
    if (sample && taken >= *sample) return false;
  }
}

class JsonlRows final : public RowSource {
 public:
  JsonlRows(std::unique_ptr<ByteStream> in, const arrow::Schema& schema) : reader_(std::move(in)) {
    for (const auto& field : schema.fields()) {
      names_.add(field->name());
      json_.push_back(is_json(*field));
    }
  }

  Result<bool> next(CsvRows& rows) override {
    rows.columns = json_.size();
    rows.count = 0;
    rows.lines.clear();
    rows.bad.clear();
    rows.fields.clear();
    text_.clear();
    shown_.clear();
    TG_TRY(const bool more, reader_.next(lines_, rows.bytes));
    if (!more) return false;
    for (const auto& line : lines_) {
      if (line.too_long) {
        rows.bad.push_back({line.number, std::string(kTooLong), std::string(line.text)});
      } else if (!is_blank(line.text)) {
        take(line, rows);
      }
    }
    rows.bytes = std::max<std::int64_t>(rows.bytes, static_cast<std::int64_t>(text_.size()));
    text_.append(CsvScanner::kPadding, ' ');
    rows.base = text_.data();
    return true;
  }

  std::string row_text(const CsvRows&, std::size_t row) const override {
    return std::string(shown_[row].substr(0, kMaxShown));
  }

 private:
  void take(const LineReader::Line& line, CsvRows& rows) {
    const std::size_t first = rows.fields.size(), text = text_.size();
    rows.fields.resize(first + json_.size());
    names_.rewind();
    seen_.begin();
    std::string_view fault = read_line(json_reader_, line.text, members_);
    for (std::size_t i = 0; i < members_.size() && fault.empty(); ++i) {
      const auto index = names_.find(members_[i].key);
      if (!index) {
        fault = kUnknown;
      } else if (seen_.again(*index)) {
        fault = kTwice;
      } else {
        rows.fields[first + *index] = put(members_[i], json_[*index]);
      }
    }
    if (!fault.empty()) {
      rows.fields.resize(first);
      text_.resize(text);
      rows.bad.push_back(
          {line.number, std::string(fault), std::string(line.text.substr(0, kMaxShown))});
      return;
    }
    ++rows.count;
    rows.lines.push_back(line.number);
    shown_.push_back(line.text);
  }

  CsvField put(const JsonMember& m, bool json) {
    if (m.kind == JsonKind::Null) return {};
    const auto begin = static_cast<std::uint32_t>(text_.size());
    text_ += m.kind == JsonKind::String && !json ? m.text : m.raw;
    return {begin, (static_cast<std::uint32_t>(text_.size()) - begin) | CsvField::kQuoted};
  }

  LineReader reader_;
  JsonObjectReader json_reader_;
  std::vector<JsonMember> members_;
  Names names_;
  Seen seen_;
  std::vector<bool> json_;
  std::vector<LineReader::Line> lines_;
  std::vector<std::string_view> shown_;  // of each good row
  std::string text_;
};

class JsonlTable final : public FileTable {
 public:
  struct Part {
    std::shared_ptr<const InputFile> file;
    bool gzip;
    std::optional<std::int64_t> rows;
  };
  JsonlTable(std::vector<Part> parts, std::shared_ptr<arrow::Schema> schema, std::stop_token stop)
      : parts_(std::move(parts)), schema_(std::move(schema)), stop_(std::move(stop)) {}

  const std::shared_ptr<arrow::Schema>& schema() const override { return schema_; }
  std::optional<std::int64_t> rows() const override {
    std::int64_t sum = 0;
    for (const Part& p : parts_) {
      if (!p.rows) return std::nullopt;
      sum += *p.rows;
    }
    return sum;
  }
  Result<std::unique_ptr<Reader>> open(std::size_t index,
                                       std::shared_ptr<arrow::Schema> columns) override {
    const Part& p = parts_[index];
    // Every column of the entity, not only the wanted: a line is good or bad whatever is asked of
    // it.
    return std::make_unique<BatchReader>(
        BatchReader::Params{.file = p.file,
                            .schema = std::move(columns),
                            .names = schema_->field_names(),
                            .nulls = {},
                            .stop = stop_},
        std::make_unique<JsonlRows>(stream_file(p.file, p.gzip), *schema_));
  }

 private:
  std::vector<Part> parts_;
  std::shared_ptr<arrow::Schema> schema_;
  std::stop_token stop_;
};

}  // namespace

Result<std::unique_ptr<FileTable>> scan_jsonl_table(const FileEntity& entity, Files files,
                                                    const SourceConfig& config,
                                                    const Context& context,
                                                    std::optional<std::int64_t> sample) {
  JsonlScan scan;
  std::vector<JsonlTable::Part> parts;
  for (auto& file : files) {
    TG_TRY(const bool gzip, is_gzip(*file));
    const std::int64_t before = scan.rows;
    TG_TRY(const bool all, scan_lines(file, gzip, scan, sample, context.stop));
    parts.push_back(
        {std::move(file), gzip, all ? std::optional(scan.rows - before) : std::nullopt});
  }
  // Without any column the rejected rows would never be looked at.
  const bool all = std::ranges::all_of(parts, [](const auto& p) { return p.rows.has_value(); });
  if (all && scan.rows == 0 && !scan.first_bad.empty()) {
    return fail(data_error(
        fmt::format("no line can be read, so there is no column. First: {}", scan.first_bad)));
  }
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (std::size_t i = 0; i < scan.names.all().size(); ++i) {
    const std::string& name = scan.names.all()[i];
    auto field = config.declared(entity.name, name);
    fields.push_back(field ? std::move(field) : scan.guesses[i].field(name));
  }
  return std::make_unique<JsonlTable>(std::move(parts), arrow::schema(std::move(fields)),
                                      context.stop);
}

}  // namespace tidegate::engine::file
