"""Bad input and faults around MySQL, MongoDB and files, source and destination: whatever it is, one entity fails alone, its error
names the thing and what to do, values that have no place are rejected and counted, and what was there before stays."""
import datetime as dt
import decimal
import json
import os
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import data
from proxy import DOWN, UP, Proxy
from stores import MysqlServer
from test_faults import call, fill, own_mounts, small_disk, sync  # noqa: F401 (fixtures)
from test_mongodb import house  # noqa: F401
from test_mysql import warehouse  # noqa: F401
from test_engine_resources import MIB, peak_bytes

NAN, INF = float("nan"), float("inf")
BROKEN = b"M\xff\xfe\xc3(R"  # as long as MARKER, and no UTF-8


class Dying(Proxy):
    """A server that is gone for good once so many bytes went one way."""

    def __init__(self, target, way, after):
        super().__init__(target)
        self.way, self.after = way, after

    def note(self, way, piece):
        super().note(way, piece)
        if not self.refusing and self.bytes[self.way] > self.after:
            self.refuse()
            raise ConnectionAbortedError


class Mangling(Proxy):
    """Puts other bytes into the answers of a server that would never send them."""

    def __init__(self, target, old, new):
        super().__init__(target)
        self.old, self.new, self.bites = old, new, 0

    def altered(self, way, piece):
        if way == UP:
            return piece
        self.bites += piece.count(self.old)
        return piece.replace(self.old, self.new)


@pytest.fixture
def through():
    """through(Kind, url, …): a proxy of that kind and the URL by way of it."""
    made = []

    def make(kind, url, *more):
        host, port = url.split("@")[-1].split("//")[-1].split("/")[0].split(":")
        made.append(kind((host, int(port)), *more))
        return made[-1], url.replace(f"{host}:{port}", f"127.0.0.1:{made[-1].port}")

    yield make
    for one in made:
        one.stop()


@pytest.fixture(params=["mysql", "mongo"])
def place(request, store_servers):
    """A database of each kind: .url, .names(), .rows(table) in the order of `id`, .fill(table, documents)."""
    made = {"mysql": MysqlPlace, "mongo": MongoPlace}[request.param](store_servers)
    yield made
    made.drop()


class MysqlPlace:
    kind = "mysql"

    def __init__(self, servers):
        self.server, self.name = servers.get("mysql"), f"hostile{os.urandom(6).hex()}"
        self.server.sql(f"CREATE DATABASE {self.name}")
        self.url = self.server.url(self.name)

    def sql(self, text):
        return self.server.sql(text, self.name)

    def ids(self, table):
        return [int(i) for [i] in self.sql(f"SELECT id FROM `{table}` ORDER BY id")]

    def fill(self, table, rows, size):
        self.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, v longtext);"
                 f"INSERT INTO {table} SELECT seq, repeat('x', {size}) FROM seq_1_to_{rows}")

    def rejected(self):
        return [r for [r] in self.sql("SELECT reason FROM _tidegate_rejected ORDER BY reason")]

    def drop(self):
        self.server.sql(f"DROP DATABASE {self.name}")


class MongoPlace:
    kind = "mongo"

    def __init__(self, servers):
        self.server, self.name = servers.get("mongo"), f"hostile{os.urandom(6).hex()}"
        self.client = self.server.client()
        self.db = self.client[self.name]
        self.url = self.server.url(self.name) + "&serverSelectionTimeoutMS=1000"

    def ids(self, table):
        return sorted(d["id"] for d in self.db[table].find())

    def fill(self, table, rows, size):
        self.db[table].insert_many([{"_id": i, "id": i, "v": "x" * size} for i in range(1, rows + 1)])

    def rejected(self):
        return sorted(d["reason"] for d in self.db["_tidegate_rejected"].find())

    def drop(self):
        self.client.drop_database(self.name)
        self.client.close()


def of(result):
    return {e["entity"]: e for e in result["entities"]}


def write_csv(path, rows, size=1):
    path.write_text("id,v\n" + "".join(f"{i},{'x' * size}\n" for i in range(1, rows + 1)))


# ---- the server is gone

def test_a_server_that_goes_in_mid_load_leaves_the_old_rows(bin_dir, place, through, tmp_path):
    write_csv(tmp_path / "t.csv", 3)
    sync(bin_dir, tmp_path / "t.csv", place.url, "--key", "id", "--job", "j")
    write_csv(tmp_path / "t.csv", 1000, 2000)
    proxy, url = through(Dying, place.url, UP, 500_000)
    result, _ = sync(bin_dir, tmp_path / "t.csv", url, "--key", "id", "--job", "j", expect=1)
    assert proxy.refusing, "it never went"
    failed = of(result)["t"]
    assert (failed["errorKind"], failed["rowsWritten"]) == ("transient", 0)
    assert f"127.0.0.1:{proxy.port}" in failed["error"] and "worth another attempt" in failed["error"], failed["error"]
    assert place.ids("t") == [1, 2, 3]
    sync(bin_dir, tmp_path / "t.csv", place.url, "--key", "id", "--job", "j")
    assert place.ids("t") == list(range(1, 1001))


def test_a_server_that_goes_in_mid_read_leaves_what_was_copied(bin_dir, place, through, tmp_path):
    place.fill("t", 3, 1)
    args = (tmp_path / "out.db", "--job", "j")
    sync(bin_dir, place.url, *args)
    place.fill("big", 1000, 2000)
    proxy, url = through(Dying, place.url, DOWN, 2_300_000 if place.kind == "mongo" else 500_000)  # the former looks first
    result, _ = sync(bin_dir, url, *args, expect=1)
    assert proxy.refusing, "it never went"
    for name, entity in of(result).items():
        assert entity["errorKind"] == "transient" and "check that" in entity["error"], (name, entity["error"])
    assert data.query(tmp_path / "out.db", "SELECT count(*) FROM t") == [(3,)]
    assert data.query(tmp_path / "out.db", "SELECT count(*) FROM big") in ([], [(0,)])
    sync(bin_dir, place.url, *args)
    assert data.query(tmp_path / "out.db", "SELECT count(*) FROM big") == [(1000,)]


# ---- no room

def test_a_full_disk_of_the_mysql_server_is_told_and_changes_nothing(bin_dir, own_mounts, tmp_path):  # noqa: F811
    folder = Path(f"/dev/shm/tidegate-full-{os.getpid()}")
    folder.mkdir(mode=0o755)
    call("mount", b"none", bytes(folder), b"tmpfs", 0, b"size=300m")
    server = MysqlServer(folder / "server")
    start = server.tool.start
    server.tool.start = lambda f, port, durable: start(f, port, durable, ["--innodb-log-file-size=8M", "--skip-log-bin"])
    try:
        folder.chmod(0o755)
        server.start()
        write_csv(tmp_path / "t.csv", 3)
        sync(bin_dir, tmp_path / "t.csv", server.url("tidegate"))
        write_csv(tmp_path / "t.csv", 40_000, 1000)
        fill(folder, 2 * MIB)
        result, _ = sync(bin_dir, tmp_path / "t.csv", server.url("tidegate"), expect=1)
        assert of(result)["t"]["errorKind"] == "transient" and "free some space on the server" in of(result)["t"]["error"]
        assert server.sql("SELECT count(*) FROM t") == [["3"]]
        (folder / "filler").unlink()
        sync(bin_dir, tmp_path / "t.csv", server.url("tidegate"))
        assert server.sql("SELECT count(*) FROM t") == [["40000"]]
    finally:
        server.stop()
        call("umount2", bytes(folder), 2)
        folder.rmdir()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_full_disk_leaves_the_old_file_of_every_format(bin_dir, small_disk, tmp_path, kind):  # noqa: F811
    file = small_disk / "out" / f"t.{kind}"
    target = f"{small_disk}/out/?format={kind}"
    write_csv(tmp_path / "t.csv", 3)
    sync(bin_dir, tmp_path / "t.csv", target)
    before = file.read_bytes()
    (tmp_path / "t.csv").write_text("id,v\n" + "".join(f"{i},{os.urandom(100).hex()}\n" for i in range(20_000)))
    fill(small_disk, 500_000)
    result, _ = sync(bin_dir, tmp_path / "t.csv", target, expect=1)
    assert of(result)["t"]["errorKind"] == "transient" and "No space left on device; free some space" in of(result)["t"]["error"]
    assert file.read_bytes() == before
    (small_disk / "filler").unlink()
    sync(bin_dir, tmp_path / "t.csv", target)
    assert file.stat().st_size > len(before)


@pytest.mark.parametrize("kind, first, begin, end, last", [
    ("csv", b"id,v\n1,a\n", b"2,", b"\n", b"3,b\n"),
    ("jsonl", b'{"id": 1, "v": "a"}\n', b'{"id": 2, "v": "', b'"}\n', b'{"id": 3, "v": "b"}\n')],
                         ids=["csv", "jsonl"])
def test_a_value_of_1_gb_is_one_rejected_row_and_takes_no_memory(bin_dir, tmp_path, kind, first, begin, end, last):
    path = Path(f"/dev/shm/tidegate-huge-{os.getpid()}.{kind}")
    try:
        with open(path, "wb") as f:
            f.write(first + begin)
            for _ in range(64):
                f.write(b"x" * (16 * MIB))
            f.write(end + last)
        peak = peak_bytes(bin_dir, tmp_path, path, "out.db", "--max-rejected", "1")
    finally:
        path.unlink()
    assert peak < 256 * MIB, f"{peak / MIB:.0f} MiB"
    assert data.query(tmp_path / "out.db", f'SELECT id FROM "{path.stem}" ORDER BY id') == [(1,), (3,)]
    [(reason,)] = data.query(tmp_path / "out.db", "SELECT reason FROM _tidegate_rejected")
    assert "longer than 16 MiB" in reason


def test_values_beyond_what_a_document_or_a_packet_takes_are_rejected_with_the_remedy(bin_dir, place, tmp_path):
    pq.write_table(pa.table({"id": [1, 2, 3], "v": ["a", "x" * (17 * MIB), "b"]}), tmp_path / "t.parquet")
    for more in ((), ("--incremental", "--cursor", "id", "--key", "id", "--take-over")):
        result, _ = sync(bin_dir, tmp_path / "t.parquet", place.url, "--max-rejected", "1", *more)
        assert (of(result)["t"]["rowsWritten"], of(result)["t"]["rowsRejected"]) == (2, 1)
        assert place.ids("t") == [1, 3]
    assert all("leave columns out" in r or "leave the column out" in r for r in place.rejected()), place.rejected()


# ---- shapes

def test_what_has_no_columns_is_skipped_with_the_reason_and_the_others_copied(bin_dir, place, tmp_path):
    (tmp_path / "braces.jsonl").write_text("{}\n{}\n")
    pq.write_table(pa.table({}), tmp_path / "none.parquet")
    write_csv(tmp_path / "good.csv", 2)
    result, _ = sync(bin_dir, tmp_path / "*.*", place.url)
    for name in ("braces", "none"):
        assert of(result)[name]["outcome"] == "skipped" and "has no columns" in of(result)[name]["warnings"][0]
    assert place.ids("good") == [1, 2]
    assert "has no columns" in sync(bin_dir, tmp_path / "none.parquet", place.url, expect=2)[0]["error"]


def test_an_empty_collection_is_skipped_with_the_reason(bin_dir, house, tmp_path):  # noqa: F811
    url, database = house
    database.create_collection("nothing")
    database.good.insert_one({"_id": 1})
    result, _ = sync(bin_dir, url, tmp_path / "out.db")
    assert "\"nothing\" has no columns: it holds no document" in of(result)["nothing"]["warnings"][0]
    assert data.query(tmp_path / "out.db", "SELECT _id FROM good") == [(1,)]


def test_1600_columns_arrive_where_they_may_and_are_refused_by_number_elsewhere(bin_dir, warehouse, house, tmp_path):  # noqa: F811
    server, name = warehouse
    url, database = house
    columns = [f"c{i}" for i in range(1600)]
    server.sql(f"CREATE TABLE wide ({', '.join(c + ' int' for c in columns)}) ENGINE = MyISAM; INSERT INTO wide (c0, c1599) VALUES (1, 2);"
               "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1)", name)
    sync(bin_dir, server.url(name), url)
    row = database.wide.find_one()
    assert list(row)[1:] == columns and (row["c0"], row["c7"], row["c1599"]) == (1, None, 2)
    sync(bin_dir, url, f"{tmp_path}/out/?format=parquet", "wide", "--exclude-columns", "_id")
    [row] = pq.read_table(tmp_path / "out" / "wide.parquet").to_pylist()
    assert list(row) == columns and (row["c0"], row["c7"], row["c1599"]) == (1, None, 2)
    other = f"{name}b"
    server.sql(f"CREATE DATABASE {other}")
    try:
        for source in (server.url(name), url):
            result, _ = sync(bin_dir, source, server.url(other), "--take-over", expect=2)
            assert "columns, and MySQL takes at most 1016; leave some out (`columns` of the entity)" in of(result)["wide"]["error"]
            assert of(result)["good"]["outcome"] == "succeeded"
        args = (server.url(name), server.url(other), "wide", "--take-over", "--columns")
        assert "takes at most 1016" in sync(bin_dir, *args, ",".join(columns[-1017:]), expect=2)[0]["error"]
        sync(bin_dir, *args, ",".join(columns[-1016:]))
        assert server.sql("SELECT c1599 FROM wide", other) == [["2"]]
    finally:
        server.sql(f"DROP DATABASE {other}")


def test_10_000_files_are_looked_into_and_the_bad_one_is_named(bin_dir, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(10_000):
        (folder / f"f{i:05}.csv").write_text("id\n1\n")
    (folder / "f00007.csv").write_text("id,id\n1,1\n")
    result, _ = sync(bin_dir, folder, f"{tmp_path}/out/", "--dry-run", expect=1)
    failed = [e for e in result["entities"] if e["outcome"] == "failed"]
    assert [e["entity"] for e in failed] == ["f00007"] and "twice" in failed[0]["error"] and "rename one" in failed[0]["error"]
    assert len(result["entities"]) == 10_000 and sum(e["rowsRead"] for e in result["entities"]) == 9_999
    (folder / "more.csv").write_text("id\n1\n")
    assert "more than 10000 files" in sync(bin_dir, folder, f"{tmp_path}/out/", expect=2)[0]["error"]


def test_of_10_000_tables_one_is_copied_and_a_wrong_name_is_told_in_a_short_error(bin_dir, warehouse, tmp_path):  # noqa: F811
    server, name = warehouse
    for begin in range(0, 10_000, 2000):
        server.sql("".join(f"CREATE TABLE t{i:05} (id int) ENGINE = MyISAM;" for i in range(begin, begin + 2000)), name)
    server.sql("INSERT INTO t09999 VALUES (5)", name)
    sync(bin_dir, server.url(name), tmp_path / "out.db", "t09999")
    assert data.query(tmp_path / "out.db", "SELECT id FROM t09999") == [(5,)]
    said = sync(bin_dir, server.url(name), tmp_path / "out.db", "t10000", expect=2)[0]["error"]
    assert "no entity \"t10000\"" in said and "9980 more" in said and len(said) < 1000


# ---- values

def test_numbers_that_are_none_are_kept_or_rejected_by_name(bin_dir, place, tmp_path):
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "f": [0.5, NAN, INF, -INF]}), tmp_path / "t.parquet")
    result, _ = sync(bin_dir, tmp_path / "t.parquet", place.url, "--max-rejected", "3")
    if place.kind == "mysql":
        assert (place.ids("t"), of(result)["t"]["rowsRejected"]) == ([1], 3)
        assert place.rejected() == [f'column "f": {v} is no number that MySQL can hold' for v in ("-inf", "inf", "nan")]
        return
    assert place.ids("t") == [1, 2, 3, 4]
    sync(bin_dir, place.url, f"{tmp_path}/csv/", "t")
    assert sorted(line.split(",")[2] for line in (tmp_path / "csv" / "t.csv").read_text().splitlines()[1:]) == ["-inf", "0.5", "inf", "nan"]
    result, _ = sync(bin_dir, place.url, f"{tmp_path}/lines/?format=jsonl", "t", "--max-rejected", "3")
    assert of(result)["t"]["rowsRejected"] == 3
    rejected = (tmp_path / "lines" / "_tidegate_rejected" / "t.csv").read_text()
    assert rejected.count("is no number that JSON has; write csv or parquet") == 3


def test_dates_before_year_0_and_after_9999_are_kept_or_rejected(bin_dir, place, tmp_path):
    days = [-719_529, -719_528, -719_162, 2_932_896, 2_932_897]  # 1 BC's eve, 0000-01-01, 0001-01-01, 9999-12-31 and the next
    table = pa.table({"id": list(range(5)), "at": pa.array([d * 86_400_000_000 for d in days], pa.int64()).cast(pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "t.parquet")
    result, _ = sync(bin_dir, tmp_path / "t.parquet", place.url, "--max-rejected", "2", expect=0)
    assert (place.ids("t"), of(result)["t"]["rowsRejected"]) == ([1, 2, 3], 2)
    assert all('column "at"' in r and "outside the years 0" in r for r in place.rejected())
    sync(bin_dir, place.url, f"{tmp_path}/back/?format=jsonl", "t")
    rows = [json.loads(line) for line in (tmp_path / "back" / "t.jsonl").read_text().splitlines()]
    assert {r["id"]: r["at"][:19] for r in rows} == {1: "0000-01-01T00:00:00", 2: "0001-01-01T00:00:00", 3: "9999-12-31T00:00:00"}
    for kind in ("csv", "jsonl"):
        sync(bin_dir, tmp_path / "t.parquet", f"{tmp_path}/{kind}/?format={kind}")
        text = (tmp_path / kind / f"t.{kind}").read_text()
        assert "-0001-12-31T00:00:00" in text and "10000-01-01T00:00:00" in text and "0000-01-01T00:00:00" in text


def test_a_date_that_has_no_year_in_a_mixed_field_is_rejected(bin_dir, house, through, tmp_path):  # noqa: F811
    """Seen here: of the year 292278994 became -6911."""
    url, database = house
    moment = dt.datetime(2001, 2, 3, tzinfo=dt.timezone.utc)
    database.t.insert_many([{"_id": 1, "at": moment}, {"_id": 2, "at": "x"}])
    for ms in (2**63 - 1, -2**63, 253_402_300_800_000, -62_167_219_200_001):
        proxy, false = through(Mangling, url, struct.pack("<q", int(moment.timestamp()) * 1000), struct.pack("<q", ms))
        result, _ = sync(bin_dir, false, tmp_path / f"{ms}.db", "--max-rejected", "1")
        assert proxy.bites > 0 and of(result)["t"]["rowsRejected"] == 1
        [(locator, reason)] = data.query(tmp_path / f"{ms}.db", "SELECT locator, reason FROM _tidegate_rejected")
        assert "_id=1" in locator and 'field "at"' in reason and "outside the years 0000 to 9999" in reason


def test_text_of_a_source_that_is_no_utf8_is_rejected_with_its_column(bin_dir, place, through, tmp_path):
    place.fill("t", 2, 1)
    if place.kind == "mysql":
        place.sql("UPDATE t SET v = 'MARKER' WHERE id = 2")
    else:
        place.db.t.update_one({"_id": 2}, {"$set": {"v": "MARKER"}})
        place.db.names.insert_one({"_id": 1, "MARKER": 1})
    proxy, url = through(Mangling, place.url, b"MARKER", BROKEN)
    assert "rejected" in sync(bin_dir, url, tmp_path / "out.db", "t", expect=1)[0]["error"]
    result, _ = sync(bin_dir, url, tmp_path / "out.db", "t", "--max-rejected", "1")
    assert proxy.bites >= 2 and (of(result)["t"]["rowsWritten"], of(result)["t"]["rowsRejected"]) == (1, 1)
    [(reason,)] = data.query(tmp_path / "out.db", "SELECT reason FROM _tidegate_rejected")
    assert '"v": is not valid UTF-8; correct' in reason
    if place.kind == "mongo":
        result, _ = sync(bin_dir, url, tmp_path / "out.db", "names", "t", "--max-rejected", "1", "--take-over", expect=1)
        assert "is not valid UTF-8; rename it in the source" in of(result)["names"]["error"] and of(result)["t"]["outcome"] == "succeeded"


def test_text_of_a_file_that_is_no_utf8_is_rejected_everywhere(bin_dir, place, tmp_path):
    texts = pa.Array.from_buffers(pa.utf8(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 1, 3, 5)), pa.py_buffer(b"a\xff\xfe\xc3\xa9")])
    pq.write_table(pa.table({"id": [1, 2, 3], "s": texts}), tmp_path / "t.parquet")
    sync(bin_dir, tmp_path / "t.parquet", place.url, "--max-rejected", "1")
    assert place.ids("t") == [1, 3]
    assert 'column "s": is not valid UTF-8' in place.rejected()[0]
    for kind in ("csv", "jsonl", "parquet"):
        result, _ = sync(bin_dir, tmp_path / "t.parquet", f"{tmp_path}/{kind}/?format={kind}", "--max-rejected", "1")
        assert (of(result)["t"]["rowsWritten"], of(result)["t"]["rowsRejected"]) == (2, 1), kind
    assert (tmp_path / "csv" / "t.csv").read_text() == "id,s\n1,a\n3,é\n"


def test_a_type_without_a_form_fails_its_entity_with_the_column(bin_dir, place, tmp_path):
    pq.write_table(pa.table({"n": pa.array([decimal.Decimal(1)], pa.decimal256(76, 0)), "id": [1]}), tmp_path / "big.parquet")
    write_csv(tmp_path / "good.csv", 2)
    result, _ = sync(bin_dir, tmp_path / "*.*", place.url, expect=2)
    assert 'column "n"' in of(result)["big"]["error"] and "decimal(76,0)" in of(result)["big"]["error"]
    assert "leave it out" in of(result)["big"]["error"]
    assert place.ids("good") == [1, 2]
    sync(bin_dir, tmp_path / "*.*", place.url, "big", "--exclude-columns", "n")
    assert place.ids("big") == [1]


# ---- keys

def test_a_primary_key_that_changes_asks_for_a_reset_and_is_made_anew(bin_dir, place, warehouse, tmp_path):  # noqa: F811
    server, name = warehouse
    args = (server.url(name), place.url, "t", "--incremental", "--cursor", "at")
    server.sql("CREATE TABLE t (id int PRIMARY KEY, r int NOT NULL, at int); INSERT INTO t VALUES (1, 1, 1), (2, 1, 2)", name)
    sync(bin_dir, *args)
    server.sql("UPDATE t SET id = 7, at = 3 WHERE id = 1", name)  # of a row: the old one stays until a full load
    sync(bin_dir, *args)
    assert place.ids("t") == [1, 2, 7]
    server.sql("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (r, id); INSERT INTO t VALUES (7, 2, 4)", name)
    said = sync(bin_dir, *args, expect=2)[0]["error"]
    assert 'primary key ("id" → "r,id")' in said and "reset the job (--reset" in said
    assert place.ids("t") == [1, 2, 7]
    sync(bin_dir, *args, "--reset")
    assert place.ids("t") == [2, 7, 7]
    server.sql("ALTER TABLE t DROP PRIMARY KEY", name)
    assert "Give the columns that are unique together" in sync(bin_dir, *args, expect=2)[0]["error"]
    assert place.ids("t") == [2, 7, 7]


def test_a_key_column_that_becomes_text_is_found_again(bin_dir, warehouse, tmp_path):  # noqa: F811
    """Seen here: BLOB/TEXT column 'id' used in key specification without a key length, run after run."""
    server, name = warehouse
    args = (tmp_path / "t.csv", server.url(name), "--incremental", "--cursor", "at", "--key", "id")
    (tmp_path / "t.csv").write_text("id,at\n1,1\n2,2\n")
    sync(bin_dir, *args)
    (tmp_path / "t.csv").write_text("id,at\n1,1\n2,3\nx,4\n")
    result, _ = sync(bin_dir, *args)
    assert "widened to varchar" in of(result)["t"]["schemaChanges"][0]
    assert server.sql("SELECT id, at FROM t ORDER BY at", name) == [["1", "1"], ["2", "3"], ["x", "4"]]
    (tmp_path / "t.csv").write_text("id,at\n5,5\n")
    assert "copy it as text" in sync(bin_dir, *args, expect=2)[0]["error"]
    assert server.sql("SELECT count(*) FROM t", name) == [["3"]]


def test_keys_that_are_not_unique_are_counted_and_told(bin_dir, place, tmp_path):
    (tmp_path / "t.csv").write_text("id,v\n1,a\n1,b\n2,c\n,d\n")
    for more in ((), ("--incremental", "--cursor", "v", "--take-over")):
        result, _ = sync(bin_dir, tmp_path / "t.csv", place.url, "--key", "id", "--max-rejected", "1", *more)
        counts = of(result)["t"]
        assert (counts["rowsRead"], counts["rowsWritten"], counts["rowsSuperseded"], counts["rowsRejected"]) == (4, 2, 1, 1)
        assert any("share their key (id)" in w and "--key" in w for w in counts["warnings"])
        assert place.ids("t") == [1, 2]
    assert 'column "id" is part of the primary key and is NULL' in place.rejected()[0]


# ---- rights, and entities that are broken

def test_a_right_that_is_missing_fails_one_entity_and_is_named(bin_dir, warehouse, tmp_path):  # noqa: F811
    server, name = warehouse
    user = f"u{os.urandom(4).hex()}"
    tables = ("_tidegate_meta", "_tidegate_state", "_tidegate_tables", "_tidegate_rejected", "a")
    server.sql("CREATE TABLE a (id int PRIMARY KEY, v int, secret int); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int);"
               f"INSERT INTO a VALUES (1, 2, 3); CREATE USER {user} IDENTIFIED BY 'p'; GRANT SELECT (id, v) ON a TO {user};"
               f"GRANT INSERT ON b TO {user}", name)
    url = server.url(name, user=f"{user}:p")
    try:
        result, _ = sync(bin_dir, url, tmp_path / "out.db", "a", "b", "c", expect=1)
        assert data.query(tmp_path / "out.db", "SELECT * FROM a") == [(1, 2)], "what may not be read is not seen"
        assert "SELECT command denied" in of(result)["b"]["error"] and f"GRANT the right to {user}" in of(result)["b"]["error"]
        assert 'no entity "c"; it has "a" and "b"' in of(result)["c"]["error"]
        assert 'no column "secret"' in sync(bin_dir, url, tmp_path / "o.db", "a", "--columns", "id,secret", expect=2)[0]["error"]
        # As a destination: first without temporary tables, then without any right on one of two tables.
        for table in ("a", "b", "first"):
            (tmp_path / f"{table}.csv").write_text("id\n1\n")
        sync(bin_dir, tmp_path / "first.csv", server.url(name))
        server.sql(f"DROP TABLE a; CREATE TABLE a (id bigint); GRANT CREATE ON *.* TO {user}; " + " ".join(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.{t} TO {user};" for t in tables), name)
        said = sync(bin_dir, tmp_path / "[ab].csv", url, "a", expect=1)[0]
        assert said["errorKind"] == "permission" and "CREATE TEMPORARY TABLES" in said["error"], said["error"]
        server.sql(f"GRANT CREATE TEMPORARY TABLES ON {name}.* TO {user}; REVOKE INSERT ON b FROM {user}", name)
        result, _ = sync(bin_dir, tmp_path / "[ab].csv", url, expect=1)
        assert of(result)["b"]["errorKind"] == "permission" and f"{name}`.`b`" in of(result)["b"]["error"]
        assert server.sql("SELECT id FROM a", name) == [["1"]]
    finally:
        server.sql(f"DROP USER {user}")


def test_a_broken_view_or_file_stops_no_other(bin_dir, warehouse, house, tmp_path):  # noqa: F811
    server, name = warehouse
    url, database = house
    server.sql("CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1), (2); CREATE TABLE base (id int);"
               "CREATE VIEW broken AS SELECT id FROM base; DROP TABLE base;"
               "CREATE VIEW fails AS SELECT id, exp(if(id = 2, 1000, 1)) AS e FROM good", name)
    result, _ = sync(bin_dir, server.url(name), tmp_path / "my.db", expect=1)
    assert of(result)["good"]["rowsWritten"] == 2 and of(result)["fails"]["rowsWritten"] == 0
    assert 'no column of "broken" can be seen' in of(result)["broken"]["error"]
    assert 'entity "fails" cannot be read' in of(result)["fails"]["error"] and "correct the view" in of(result)["fails"]["error"]
    assert data.query(tmp_path / "my.db", "SELECT count(*) FROM fails") in ([], [(0,)])
    database.good.insert_many([{"_id": 1}, {"_id": 2}])
    database.command("create", "broken", viewOn="good", pipeline=[{"$project": {"x": {"$divide": [1, 0]}}}])
    result, _ = sync(bin_dir, url, tmp_path / "mo.db", expect=2)
    assert of(result)["good"]["rowsWritten"] == 2 and ".broken" in of(result)["broken"]["error"]
    write_csv(tmp_path / "good.csv", 2)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing of the kind PAR1")
    result, _ = sync(bin_dir, f"{tmp_path}/*o*[dn].*[vt]", f"{tmp_path}/out/", expect=1)
    assert of(result)["good"]["rowsWritten"] == 2 and "broken.parquet" in of(result)["broken"]["error"]
