// What JSON lines and Parquet files hold of a load, and what they refuse.

#include <arrow/builder.h>
#include <parquet/file_reader.h>
#include <signal.h>
#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/connectors/file/source_fixture.h"
#include "engine/contract/scripted_source.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {
namespace {

using contract::batch_of;
using Texts = std::vector<std::string>;
using Batch = std::shared_ptr<arrow::RecordBatch>;

class FileFormatsTest : public FileSourceTest {
 protected:
  struct Loaded {
    Texts reasons;  // of the rejected rows
    Texts changes;  // of the schema
    std::string error;
  };

  Result<std::unique_ptr<Writer>> open(const std::string& format) {
    const boost::json::object config{{"path", "out"}, {"format", format}};
    TG_TRY(const auto destination, file_connector().make_destination(config, context_));
    return destination->open({.job = "j", .entity = "t", .run_id = RunId("r")});
  }

  Result<Loaded> try_load(const std::string& format, LoadKind kind, const std::vector<Batch>& rows,
                          protocol::SchemaChange change) {
    Loaded out;
    TG_TRY(const auto writer, open(format));
    TG_TRY(out.changes, writer->begin({.kind = kind,
                                       .schema = rows.at(0)->schema(),
                                       .key = {},
                                       .cursor = {},
                                       .schema_change = change}));
    for (const Batch& batch : rows) {
      TG_TRY(const auto rejected, writer->write(*batch));
      for (const RejectedRow& r : rejected) out.reasons.push_back(r.reason);
    }
    TG_CHECK(writer->flush());
    TG_CHECK(writer->commit(Writer::NewState{"{}", 0}));
    TG_CHECK(writer->finish());
    return out;
  }

  Loaded load(const std::string& format, LoadKind kind, const std::vector<Batch>& rows,
              protocol::SchemaChange change = protocol::SchemaChange::Evolve) {
    auto got = try_load(format, kind, rows, change);
    if (got) return std::move(*got);
    return {.reasons = {}, .changes = {}, .error = got.error().message};
  }

  std::string text(const std::string& name) {
    std::ifstream in(folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Read stored(const std::string& format) {
    return read(R"({"path": "out/*.)" + format + R"("})", "t");
  }
  Texts entries() {
    Texts out;
    for (const auto& e : std::filesystem::directory_iterator(folder_ + "/out")) {
      out.push_back(e.path().filename());
    }
    std::ranges::sort(out);
    return out;
  }

  // Bounds the size of files of this process, as a full disk does; 0: no bound.
  static void bound_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }

  static Batch ids(const std::string& rows) {
    return batch_of(arrow::schema({arrow::field("id", arrow::int64())}), rows);
  }
  // Texts that no builder from JSON would make.
  static Batch texts_of(const Texts& values, bool json) {
    arrow::StringBuilder builder;
    for (const auto& v : values) EXPECT_TRUE(builder.Append(v).ok());
    auto field = arrow::field("v", arrow::utf8());
    if (json) field = mark_json(field);
    return arrow::RecordBatch::Make(arrow::schema({field}),
                                    static_cast<std::int64_t>(values.size()), {*builder.Finish()});
  }
};

TEST_F(FileFormatsTest, NumbersThatJsonDoesNotHaveAreRejectedAndOnlyThere) {
  arrow::DoubleBuilder builder;
  const double infinity = std::numeric_limits<double>::infinity();
  ASSERT_TRUE(builder.AppendValues({0.5, std::nan(""), -infinity, 2}).ok());
  const auto rows = arrow::RecordBatch::Make(arrow::schema({arrow::field("f", arrow::float64())}),
                                             4, {*builder.Finish()});
  const Loaded got = load("jsonl", LoadKind::Replace, {rows});
  ASSERT_EQ(got.reasons.size(), 2U) << got.error;
  EXPECT_EQ(got.reasons[0],
            "column \"f\": nan is no number that JSON has; write csv or parquet, or leave it out "
            "(`where`, or NULL in the source)");
  EXPECT_NE(got.reasons[1].find("-inf is no number"), std::string::npos) << got.reasons[1];
  EXPECT_EQ(text("out/t.jsonl"), "{\"f\":0.5}\n{\"f\":2}\n");
  EXPECT_EQ(load("parquet", LoadKind::Replace, {rows}).reasons, Texts());
  EXPECT_EQ(stored("parquet").rows, (Texts{"0.5", "nan", "-inf", "2"}));
}

TEST_F(FileFormatsTest, BrokenTextsAreRejectedWithTheirReason) {
  for (const std::string format : {"csv", "jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    const Loaded broken = load(format, LoadKind::Replace, {texts_of({"a", "\xFF", "é"}, false)});
    ASSERT_EQ(broken.reasons.size(), 1U) << broken.error;
    EXPECT_NE(broken.reasons[0].find("column \"v\": the text is not valid UTF-8"),
              std::string::npos);
    EXPECT_EQ(stored(format).rows, (Texts{"a", "é"}));
    if (format == "csv") continue;  // it has no documents
    const Loaded json = load(format, LoadKind::Replace, {texts_of({"[1]", "{a}", "\xFF"}, true)});
    ASSERT_EQ(json.reasons.size(), 2U) << json.error;
    EXPECT_NE(json.reasons[0].find("column \"v\": the text is not JSON"), std::string::npos);
    EXPECT_EQ(stored(format).rows, Texts{"[1]"});
  }
}

// A document of several lines would be several lines of the file.
TEST_F(FileFormatsTest, ADocumentIsOneLine) {
  load("jsonl", LoadKind::Replace, {texts_of({"{\n\"a\": \"x\\ny\"\r\n}", "null"}, true)});
  EXPECT_EQ(text("out/t.jsonl"), "{\"v\":{ \"a\": \"x\\ny\"  }}\n{\"v\":null}\n");
}

// 17 digits are text in JSON lines and 15 a number: one column is never of two kinds.
TEST_F(FileFormatsTest, OldRowsLackNewColumnsAndKeepTheirValuesInWiderOnes) {
  const auto narrow = arrow::schema({arrow::field("id", arrow::int32()),
                                     arrow::field("v", arrow::decimal128(15, 2)),
                                     arrow::field("only", arrow::null())});
  const auto wide = arrow::schema(
      {arrow::field("id", arrow::int64()), arrow::field("v", arrow::decimal128(16, 4)),
       arrow::field("only", arrow::date32()), arrow::field("new", arrow::boolean())});
  const Batch first = batch_of(narrow, R"([[1, "1234567890123.45", null], [2, null, null]])");
  const Batch second = batch_of(wide, R"([[9223372036854775807, "0.0001", 20484, true]])");
  for (const char* format : {"jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    EXPECT_EQ(load(format, LoadKind::Replace, {first}).error, "");
    const Loaded got = load(format, LoadKind::Append, {second});
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.reasons, Texts());
    EXPECT_EQ(got.changes.size(), 3U);
    const std::string lines =
        "{\"id\":1,\"v\":\"1234567890123.45\",\"only\":null}\n"
        "{\"id\":2,\"v\":null,\"only\":null}\n"
        "{\"id\":9223372036854775807,\"v\":\"0.0001\",\"only\":\"2026-01-31\",\"new\":true}\n";
    EXPECT_EQ(text("out/t.jsonl"), std::string_view(format) == "jsonl" ? lines : "");
  }
  const Read read_back = stored("parquet");
  EXPECT_EQ(read_back.types, "id:int64 v:decimal128(17, 4) only:date32[day] new:bool");
  EXPECT_EQ(read_back.rows, (Texts{"1|1234567890123.4500|∅|∅", "2|∅|∅|∅",
                                   "9223372036854775807|0.0001|2026-01-31|true"}));
}

TEST_F(FileFormatsTest, ValuesOfAnIgnoredTypeAreRejectedUnlessTheyFit) {
  const auto at = [](const std::shared_ptr<arrow::DataType>& type, const std::string& rows) {
    return batch_of(arrow::schema({arrow::field("v", type)}), rows);
  };
  for (const char* format : {"jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    load(format, LoadKind::Replace, {at(arrow::int8(), "[[1]]")});
    const Loaded got = load(format, LoadKind::Append, {at(arrow::int64(), "[[2], [300], [null]]")},
                            protocol::SchemaChange::Ignore);
    ASSERT_EQ(got.reasons.size(), 1U) << got.error;
    EXPECT_NE(got.reasons[0].find("column \"v\": '300' has no exact form as whole number (int8)"),
              std::string::npos)
        << got.reasons[0];
    EXPECT_EQ(stored(format).rows, (Texts{"1", "2", "∅"}));
    const Loaded texts = load(format, LoadKind::Append, {at(arrow::utf8(), R"([["7"]])")},
                              protocol::SchemaChange::Ignore);
    EXPECT_EQ(texts.reasons.size(), 1U);
    const Loaded refused = load(format, LoadKind::Append, {at(arrow::utf8(), R"([["7"]])")},
                                protocol::SchemaChange::Fail);
    EXPECT_NE(refused.error.find("the column \"v\" was whole number (int8) and is text now"),
              std::string::npos)
        << refused.error;
    const Loaded bytes = load(format, LoadKind::Append, {at(arrow::binary(), R"([["7"]])")});
    EXPECT_NE(bytes.error.find("no type holds both"), std::string::npos) << bytes.error;
    EXPECT_EQ(stored(format).rows, (Texts{"1", "2", "∅"}));
  }
}

// Symptom: bytes came into a column of texts as base64, and nobody was told.
TEST_F(FileFormatsTest, BytesAreNoTextOfAColumnThatKeepsItsType) {
  const auto bytes =
      batch_of(arrow::schema({arrow::field("v", arrow::binary())}), R"([["7"], [null]])");
  for (const char* format : {"jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    load(format, LoadKind::Replace, {texts_of({"a"}, false)});
    const Loaded got = load(format, LoadKind::Append, {bytes}, protocol::SchemaChange::Ignore);
    ASSERT_EQ(got.reasons.size(), 1U) << got.error;
    EXPECT_NE(got.reasons[0].find("column \"v\": 'Nw==' has no exact form as text"),
              std::string::npos)
        << got.reasons[0];
    EXPECT_EQ(stored(format).rows, (Texts{"a", "∅"}));
  }
}

// Symptom: of a date in milliseconds beside timestamps every row was rejected.
TEST_F(FileFormatsTest, DatesInMillisecondsFitAmongTimestamps) {
  const auto at = [](const std::shared_ptr<arrow::DataType>& type, const std::string& rows) {
    return batch_of(arrow::schema({arrow::field("v", type)}), rows);
  };
  for (const char* format : {"jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    load(format, LoadKind::Replace, {at(arrow::timestamp(arrow::TimeUnit::MICRO), "[[1]]")});
    const Loaded got =
        load(format, LoadKind::Append, {at(arrow::date64(), "[[86400000], [null]]")});
    EXPECT_EQ(got.error, "");
    EXPECT_EQ(got.reasons, Texts());
    EXPECT_EQ(stored(format).rows,
              (Texts{"1970-01-01T00:00:00.000001", "1970-01-02T00:00:00", "∅"}));
  }
}

// Symptom: "5" and 5 became one text.
TEST_F(FileFormatsTest, DocumentsThatBecomeTextKeepTheirQuotes) {
  for (const char* format : {"jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    const Texts documents{R"("5")", "5", R"(["a"])"};
    ASSERT_EQ(load(format, LoadKind::Replace, {texts_of(documents, true)}).error, "");
    ASSERT_EQ(load(format, LoadKind::Append, {texts_of({"x"}, false)}).error, "");
    EXPECT_EQ(stored(format).rows, (Texts{R"("5")", "5", R"(["a"])", "x"}));
  }
  load("jsonl", LoadKind::Replace, {texts_of({"null"}, true)});
  load("jsonl", LoadKind::Append, {texts_of({"x"}, false)});
  EXPECT_EQ(text("out/t.jsonl"), "{\"v\":null}\n{\"v\":\"x\"}\n");
}

TEST_F(FileFormatsTest, AnotherFormatTakesThePlaceOfTheFileWithAFullLoadOnly) {
  ASSERT_EQ(load("csv", LoadKind::Replace, {ids("[[1], [2]]")}).error, "");
  for (const char* format : {"parquet", "jsonl"}) {
    const Loaded refused = load(format, LoadKind::Append, {ids("[[3]]")});
    EXPECT_NE(refused.error.find(fmt::format("none can be appended to them as {}", format)),
              std::string::npos)
        << refused.error;
    EXPECT_NE(refused.error.find("set the format back to csv"), std::string::npos);
  }
  EXPECT_EQ(text("out/t.csv"), "id\n1\n2\n");
  ASSERT_EQ(load("parquet", LoadKind::Replace, {ids("[[4]]")}).error, "");
  EXPECT_EQ(entries(), (Texts{".tidegate", "t.parquet"}));
  EXPECT_EQ(stored("parquet").rows, Texts{"4"});
  ASSERT_EQ(load("jsonl", LoadKind::Replace, {ids("[[5]]")}).error, "");
  EXPECT_EQ(entries(), (Texts{".tidegate", "t.jsonl"}));
  // Moved away, it begins anew.
  std::filesystem::remove(folder_ + "/out/t.jsonl");
  ASSERT_EQ(load("csv", LoadKind::Append, {ids("[[6]]")}).error, "");
  EXPECT_EQ(text("out/t.csv"), "id\n6\n");
  EXPECT_EQ(entries(), (Texts{".tidegate", "t.csv"}));
}

// Symptom: behind a file of no rows the load was refused with "the rows so far are in …".
TEST_F(FileFormatsTest, AFileWithoutRowsGivesWayToAnyLoadOfAnotherFormat) {
  ASSERT_EQ(load("csv", LoadKind::Replace, {ids("[]")}).error, "");
  for (const char* format : {"parquet", "jsonl", "csv"}) {
    SCOPED_TRACE(format);
    ASSERT_EQ(load(format, LoadKind::Append, {ids("[]")}).error, "");
    EXPECT_EQ(entries(), (Texts{".tidegate", fmt::format("t.{}", format)}));
  }
  ASSERT_EQ(load("parquet", LoadKind::Append, {ids("[[1]]")}).error, "");
  EXPECT_EQ(stored("parquet").rows, Texts{"1"});
}

// Symptom: a run that had but rejected rows to keep put our old file over one of its user's.
TEST_F(FileFormatsTest, AnAbortLeavesWhatStandsThere) {
  enum class Now : std::uint8_t { Ours, Away, Theirs };
  for (const char* format : {"csv", "parquet"}) {
    for (const auto& [now, wanted] :
         {std::pair{Now::Ours, "id\n1\n"}, {Now::Away, ""}, {Now::Theirs, "mine\n"}}) {
      SCOPED_TRACE(fmt::format("{} {}", format, wanted));
      std::filesystem::remove_all(folder_ + "/out");
      ASSERT_EQ(load("csv", LoadKind::Replace, {ids("[[1]]")}).error, "");
      const auto writer = open(format);
      ASSERT_TRUE(writer) << writer.error().message;
      if (now != Now::Ours) std::filesystem::remove(folder_ + "/out/t.csv");
      if (now == Now::Theirs) write("out/t.csv", wanted);
      const std::vector<RejectedRow> kept{{"t", "too long", "{}"}};
      const Status aborted = (*writer)->abort(kept);
      EXPECT_TRUE(aborted) << aborted.error().message;
      EXPECT_EQ(std::filesystem::exists(folder_ + "/out/t.csv"), now != Now::Away);
      EXPECT_EQ(text("out/t.csv"), wanted);
      EXPECT_NE(text("out/_tidegate_rejected/t.csv").find("too long"), std::string::npos);
    }
  }
}

// It died between the switch and the removal of the old link, which then leads nowhere.
TEST_F(FileFormatsTest, TheLinkOfAnotherFormatNeverShowsOldRows) {
  ASSERT_EQ(load("csv", LoadKind::Replace, {ids("[[1]]")}).error, "");
  const auto link = std::filesystem::read_symlink(folder_ + "/out/t.csv");
  ASSERT_EQ(load("parquet", LoadKind::Replace, {ids("[[2]]")}).error, "");
  std::filesystem::create_symlink(link, folder_ + "/out/t.csv");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out/t.csv"));
  ASSERT_TRUE(open("parquet"));
  EXPECT_EQ(entries(), (Texts{".tidegate", "t.parquet"}));
}

// A file of the user's own in another format is none of ours.
TEST_F(FileFormatsTest, AFileOfAnotherFormatThatIsNotOursStays) {
  write("out/t.csv", "mine\n");
  ASSERT_EQ(load("parquet", LoadKind::Replace, {ids("[[2]]")}).error, "");
  EXPECT_EQ(text("out/t.csv"), "mine\n");
}

// What the folder switches to was read back: rows that somebody took out would be gone for good.
TEST_F(FileFormatsTest, RowsThatAreMissingInTheOldFileFailTheAppend) {
  ASSERT_EQ(load("parquet", LoadKind::Replace, {ids("[[1]]")}).error, "");
  const std::string less = text("out/t.parquet");
  ASSERT_EQ(load("parquet", LoadKind::Replace, {ids("[[1], [2]]")}).error, "");
  const std::string file = std::filesystem::canonical(folder_ + "/out/t.parquet").string();
  std::ofstream(file, std::ios::binary) << less;
  const Loaded got = load("parquet", LoadKind::Append, {ids("[[3]]")});
  EXPECT_NE(got.error.find("holds 2 rows where 3 were to be; nothing was committed"),
            std::string::npos)
      << got.error;
  EXPECT_EQ(std::filesystem::canonical(folder_ + "/out/t.parquet").string(), file);
}

TEST_F(FileFormatsTest, AFileThatCannotBeWrittenSaysWhichAndLeavesTheOldOne) {
  Texts values;
  SystemRng rng;
  for (int i = 0; i < 4096; ++i) values.push_back(fmt::format("{:x}{:x}", rng.next(), rng.next()));
  for (const char* format : {"csv", "jsonl", "parquet"}) {
    SCOPED_TRACE(format);
    ASSERT_EQ(load(format, LoadKind::Replace, {texts_of({"old"}, false)}).error, "");
    bound_files(16 << 10);
    const Loaded got = load(format, LoadKind::Replace, {texts_of(values, false)});
    bound_files(0);
    EXPECT_TRUE(got.error.starts_with("cannot write '")) << got.error;
    EXPECT_NE(got.error.find(fmt::format("/t.{}': File too large; ", format)), std::string::npos)
        << got.error;
    EXPECT_EQ(stored(format).rows, Texts{"old"});
  }
}

// Memory stays flat: a row group waits there until its end.
TEST_F(FileFormatsTest, RowGroupsAreBounded) {
  Texts values;
  for (int i = 0; i < 64; ++i) {
    values.emplace_back(1 << 17, static_cast<char>('a' + i % 26));
    values.back() += std::to_string(i);
  }
  const Batch batch = texts_of(values, false);  // 8 MiB
  ASSERT_EQ(load("parquet", LoadKind::Replace, std::vector<Batch>(17, batch)).error, "");
  const auto look = [&](int groups) {
    const auto file = parquet::ParquetFileReader::OpenFile(folder_ + "/out/t.parquet");
    const auto footer = file->metadata();
    EXPECT_EQ(footer->num_row_groups(), groups);
    for (int i = 0; i < footer->num_row_groups(); ++i) {
      EXPECT_LE(footer->RowGroup(i)->total_byte_size(), 80 << 20);
      EXPECT_GT(footer->RowGroup(i)->num_rows(), 0);
    }
  };
  look(3);
  ASSERT_EQ(load("parquet", LoadKind::Append, {texts_of({"x"}, false)}).error, "");
  look(4);
}

// A long file is not written anew by each commit, and short ones never become many small pieces.
TEST_F(FileFormatsTest, RowGroupsStayUntilTheyAreMany) {
  const auto groups = [&] {
    return parquet::ParquetFileReader::OpenFile(folder_ + "/out/t.parquet")
        ->metadata()
        ->num_row_groups();
  };
  Texts wanted;
  for (int i = 1; i <= 40; ++i) {
    const std::string before = text("out/t.parquet");
    const int had = i == 1 ? 0 : groups();
    ASSERT_EQ(load("parquet", i == 1 ? LoadKind::Replace : LoadKind::Append,
                   {ids(fmt::format("[[{}]]", i))})
                  .error,
              "");
    wanted.push_back(std::to_string(i));
    EXPECT_EQ(stored("parquet").rows, wanted);
    ASSERT_LE(groups(), 17);
    if (had == 0 || groups() < had) continue;
    EXPECT_EQ(groups(), had + 1);
    // Up to the footer, whose length stands before the last four bytes.
    std::uint32_t footer = 0;
    std::memcpy(&footer, before.data() + before.size() - 8, sizeof footer);
    const std::size_t kept = before.size() - 8 - footer;
    EXPECT_EQ(text("out/t.parquet").substr(0, kept), before.substr(0, kept));
  }
  EXPECT_LT(groups(), 17);
}

// Symptom: above some 31 full row groups of rows that compress well, each commit wrote the whole
// file anew, and hundreds of MiB of it were in memory at once.
TEST_F(FileFormatsTest, FullRowGroupsStayHoweverSmallTheirBytes) {
  constexpr int kFull = 18;
  const auto groups = [&] {
    return parquet::ParquetFileReader::OpenFile(folder_ + "/out/t.parquet")
        ->metadata()
        ->num_row_groups();
  };
  const auto appended_twice = [&](const Batch& full) {
    const std::vector<Batch> all(kFull, full);
    ASSERT_EQ(load("parquet", LoadKind::Replace, all).error, "");
    ASSERT_EQ(groups(), kFull);
    for (int i = 1; i <= 2; ++i) {
      ASSERT_EQ(load("parquet", LoadKind::Append, {full->Slice(0, 1)}).error, "");
      EXPECT_EQ(groups(), kFull + i);
    }
  };
  arrow::Int8Builder zeros;
  ASSERT_TRUE(zeros.AppendEmptyValues(1 << 20).ok());
  appended_twice(arrow::RecordBatch::Make(arrow::schema({arrow::field("v", arrow::int8())}),
                                          1 << 20, {*zeros.Finish()}));

  const Batch texts = texts_of(Texts(128, std::string(512 << 10, 'x')), false);  // 64 MiB
  appended_twice(texts);
  const std::int64_t peak = arrow::default_memory_pool()->max_memory();
  const auto wider =
      arrow::schema({arrow::field("v", arrow::utf8()), arrow::field("new", arrow::int8())});
  ASSERT_EQ(load("parquet", LoadKind::Append, {batch_of(wider, R"([["y", 1]])")}).error, "");
  EXPECT_LE(arrow::default_memory_pool()->max_memory() - peak, 64 << 20);
  EXPECT_LE(groups(), kFull + 1);
}

}  // namespace
}  // namespace tidegate::engine::file
