"""Bad input and faults around PostgreSQL, SQLite and DuckDB: an entity that cannot be copied is told with its remedy, the others
are copied, and a value that has no place is rejected and counted, never bent."""
import json
import os
import sqlite3
import threading
from contextlib import closing
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest

import data
from proxy import UP, Proxy, Trap
from test_cli_local import run
from test_faults import fill, files_below, own_mounts, read_only, small_disk  # noqa: F401

KINDS = ["sqlite", "duckdb", "postgres"]


class House:
    """A database of one kind: `url` for the command line, sql() and rows of texts out of it."""

    def __init__(self, kind, folder, servers, bin_dir, encoding=None):
        self.kind, self.folder, self.bin_dir = kind, folder, bin_dir
        self.name = f"hostile{os.urandom(6).hex()}"
        if kind != "postgres":
            self.url = str(folder / f"{self.name}.{'db' if kind == 'sqlite' else 'duckdb'}")
            return
        self.server = servers.get("postgres")
        of = f" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" if encoding else ""
        self.server.sql(f"CREATE DATABASE {self.name}{of}")
        self.url = self.server.url(self.name)

    def sql(self, text):
        if self.kind == "postgres":
            return self.server.sql(text, self.name)
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.url)) as db:
                return db.executescript(text).fetchall()
        import duckdb  # of the tests' own, as another program has it
        with duckdb.connect(self.url) as db:
            return db.execute(text).fetchall()

    def rows(self, query):
        """As texts of Python, where PostgreSQL's are psql's."""
        if self.kind == "postgres":
            return self.server.sql(query, self.name)
        if self.kind == "sqlite":
            return [[str(v) for v in row] for row in data.query(self.folder / f"{self.name}.db", query)]
        return [[str(v) for v in row] for row in self.sql(query)]

    def rejected(self):
        """How many rows of each entity were kept aside, and their reasons."""
        rows = self.rows("SELECT entity, reason FROM _tidegate_rejected ORDER BY id")
        return [(entity, reason) for entity, reason in rows]

    def drop(self):
        if self.kind == "postgres":
            self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture
def house(store_servers, bin_dir, tmp_path):
    """house(kind) is a new, empty database."""
    made = []

    def make(kind, encoding=None):
        made.append(House(kind, tmp_path, store_servers, bin_dir, encoding))
        return made[-1]

    yield make
    for each in made:
        each.drop()


def sync(bin_dir, source, target, *options, expect=0, env=None):
    """The result of each entity by its name."""
    done = run(bin_dir, "sync", getattr(source, "url", source), getattr(target, "url", target), *options, expect=expect, env=env)
    return {e["entity"]: e for e in json.loads(done.stdout.splitlines()[-1])["entities"]}


def counts(entity):
    return entity["outcome"], entity["rowsRead"], entity["rowsWritten"], entity["rowsRejected"]


def test_one_bad_entity_of_postgresql_stops_no_other(bin_dir, house):
    shop, copy = house("postgres"), house("sqlite")
    shop.sql("CREATE TABLE a_good (id int PRIMARY KEY); INSERT INTO a_good VALUES (1), (2); CREATE TABLE z_good AS TABLE a_good; "
             "CREATE TABLE b_empty (); CREATE TABLE c_dropped (id int); ALTER TABLE c_dropped DROP COLUMN id; "
             "CREATE TABLE d_shut (id int); CREATE TABLE e_half (id int, secret text); INSERT INTO e_half VALUES (7, 's'); "
             # The server ends the connection in mid-COPY.
             "CREATE VIEW f_gone AS SELECT i AS id, CASE WHEN i = 20000 THEN pg_terminate_backend(pg_backend_pid()) END AS k "
             "FROM generate_series(1, 40000) i; "
             "CREATE VIEW g_refused AS SELECT i AS id, 1 / (i - 20000) AS k FROM generate_series(1, 40000) i; "
             "CREATE VIEW h_long AS SELECT i AS id, repeat('x', 1073741822 + i) AS t FROM generate_series(1, 1) i")
    role = f"reader{os.urandom(4).hex()}"
    shop.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; "
             f"REVOKE SELECT ON d_shut, e_half FROM {role}; GRANT SELECT (id) ON e_half TO {role}")
    url = shop.server.url(shop.name, f"{role}:pw")
    try:
        found = sync(bin_dir, url, copy, expect=1)
        assert {name: (e.get("errorKind"), e["rowsWritten"]) for name, e in found.items()} == {
            "a_good": (None, 2), "b_empty": ("data", 0), "c_dropped": ("data", 0), "d_shut": ("permission", 0),
            "e_half": ("permission", 0), "f_gone": ("transient", 0), "g_refused": ("data", 0), "h_long": ("data", 0), "z_good": (None, 2)}
        for name, words in {"b_empty": ["no columns"], "c_dropped": ["no columns"],
                            "d_shut": [f'GRANT SELECT ON "public"."d_shut" TO "{role}"'],
                            "e_half": [f'GRANT SELECT ("secret") ON "public"."e_half" TO "{role}"', "`columns`"],
                            "f_gone": ["was lost", shop.name], "g_refused": ["behind the first 19999", "division by zero", "`columns`"],
                            "h_long": ["behind the first 0", "too large", "`columns`"]}.items():
            assert all(word in found[name]["error"] for word in words), found[name]["error"]
        tables = {name for [name] in copy.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")}
        assert tables == {"a_good", "z_good"}, "of what failed nothing is left"
        # What may be read of a table can be copied.
        assert counts(sync(bin_dir, url, copy, "e_half", "--exclude-columns", "secret")["e_half"]) == ("succeeded", 1, 1, 0)
        assert copy.rows("SELECT * FROM e_half") == [["7"]]
    finally:
        shop.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_database_of_any_bytes_gives_what_is_utf8_and_rejects_the_rest(bin_dir, house):
    """Symptom: one value, or the name of one table, that was no UTF-8 failed the entity, or the whole run."""
    shop, copy = house("postgres", "SQL_ASCII"), house("sqlite")
    shop.sql("CREATE TABLE good (id int PRIMARY KEY, name text); INSERT INTO good VALUES (1, 'naïve')")
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, name text, doc json, list text[])")
    # psql asks for UTF8, which the server holds its own statements to.
    shop.sql("SET client_encoding = 'SQL_ASCII'; INSERT INTO t VALUES (1, E'ab\\xff', NULL, NULL), (2, 'fine', '{}', '{a}'), "
             "(3, 'x', E'\"\\xff\"', NULL), (4, 'x', NULL, ARRAY[E'\\xfe'])")
    shop.sql("SET client_encoding = 'SQL_ASCII'; DO $$ BEGIN EXECUTE E'CREATE TABLE \"t\\xff\" (id int)'; "
             "EXECUTE E'CREATE TABLE named (\"c\\xff\" int)'; EXECUTE E'CREATE SCHEMA \"s\\xff\"'; "
             "EXECUTE E'CREATE TABLE \"s\\xff\".t (id int)'; END $$")
    found = sync(bin_dir, shop, copy, "--max-rejected", "3", expect=1)
    assert {name: e.get("errorKind") for name, e in found.items()} == {
        "good": None, "t": None, "named": "data", "t\\xff": "data", "s\\xff.t": "data"}
    assert counts(found["t"]) == ("succeeded", 4, 1, 3)
    assert all("is not valid UTF-8" in found[name]["error"] and "rename" in found[name]["error"] for name in ("named", "t\\xff", "s\\xff.t"))
    assert copy.rows("SELECT name FROM good") == [["naïve"]] and copy.rows("SELECT id FROM t") == [["2"]]
    assert [reason.split(":")[0] for _, reason in copy.rejected()] == ['column "name"', 'column "doc"', 'column "list"']
    # And into one: its bytes are those of UTF-8.
    back = house("postgres", "SQL_ASCII")
    sync(bin_dir, copy, back, "good")
    assert back.rows("SELECT name FROM good") == [["naïve"]]


def test_a_letter_that_no_utf8_has_is_told_by_its_place(bin_dir, house):
    shop, copy = house("postgres", "WIN1252"), house("sqlite")
    shop.sql("CREATE TABLE good (id int); INSERT INTO good VALUES (1); CREATE TABLE t (id int, name text); INSERT INTO t VALUES (1, 'é')")
    shop.sql("SET client_encoding = 'WIN1252'; DO $$ BEGIN EXECUTE convert_from('INSERT INTO t VALUES (2, ''\\201'')', 'WIN1252'); END $$")
    found = sync(bin_dir, shop, copy, expect=1)
    assert (found["good"]["rowsWritten"], found["t"]["errorKind"]) == (1, "data")
    assert all(word in found["t"]["error"] for word in ("behind the first 1", "0x81", "correct it in the source", "`columns`"))


# What a value becomes in each kind; None: its row is rejected, with these words.
EXTREMES = {
    "sqlite": {1: None, 2: "inf", 3: "-inf", 4: None, 5: None, 6: "0001-01-01", 7: "9999-12-31"},
    "duckdb": {1: "nan", 2: "inf", 3: "-inf", 4: "0044-03-15 (BC)", 5: "10000-01-01", 6: "0001-01-01", 7: "9999-12-31"},
    "postgres": {1: "NaN", 2: "Infinity", 3: "-Infinity", 4: "0044-03-15 BC", 5: "10000-01-01", 6: "0001-01-01", 7: "9999-12-31"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_nan_infinity_and_far_dates_arrive_or_are_rejected(bin_dir, house, kind):
    shop, copy = house("postgres"), house(kind)
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, f float8, d date, ts timestamp, n numeric(9,2)); INSERT INTO t VALUES (1, 'NaN'), "
             "(2, 'Infinity'), (3, '-Infinity'); INSERT INTO t VALUES (4, NULL, '0044-03-15 BC', '0044-03-15 BC'), (5, NULL, '10000-01-01', "
             "'10000-01-01'), (6, NULL, '0001-01-01', '0001-01-01'), (7, NULL, '9999-12-31', '9999-12-31 23:59:59.999999'); "
             "INSERT INTO t (id, d) VALUES (8, 'infinity'); INSERT INTO t (id, ts) VALUES (9, '-infinity'), (10, '294276-12-31'); "
             "INSERT INTO t (id, n) VALUES (11, 'NaN')")
    wanted = {n: v for n, v in EXTREMES[kind].items() if v is not None}
    rejected = 11 - len(wanted)
    assert sync(bin_dir, shop, copy, expect=1)["t"]["errorKind"] == "data"
    assert counts(sync(bin_dir, shop, copy, "--max-rejected", str(rejected))["t"]) == ("succeeded", 11, len(wanted), rejected)
    text = "CAST({} AS VARCHAR)" if kind == "duckdb" else "CAST({} AS TEXT)"
    rows = copy.rows(f"SELECT id, coalesce({text.format('f')}, {text.format('d')}) FROM t ORDER BY id")
    # SQLite's own words for what it holds as a number.
    assert [(int(n), v.replace("Inf", "inf") if kind == "sqlite" else v) for n, v in rows] == list(wanted.items())
    reasons = "\n".join(reason for _, reason in copy.rejected())
    for word in ['"d": infinity', '"ts": -infinity', "after the year 294247", '"n": NaN']:
        assert word in reasons, reasons
    if kind == "sqlite":
        assert "(NaN)" in reasons and reasons.count("before the year 0000 or after 9999") == 2 and "--exclude-columns" in reasons


def test_far_dates_and_bad_text_of_sqlite_are_rejected_by_their_value(bin_dir, house):
    shop = house("sqlite")
    shop.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, r REAL, s TEXT); INSERT INTO t VALUES (1, '10000-01-01', NULL, NULL), "
             "(2, '-0044-03-15', NULL, NULL), (3, NULL, 9e999, NULL), (4, NULL, -9e999, NULL), (5, NULL, NULL, CAST(x'61ff' AS TEXT)), "
             "(6, '0000-01-01', 1.5, 'fine')")
    for kind in ("postgres", "duckdb"):
        copy = house(kind)
        assert counts(sync(bin_dir, shop, copy, "--max-rejected", "3")["t"]) == ("succeeded", 6, 3, 3)
        assert [r[0] for r in copy.rows("SELECT id FROM t ORDER BY id")] == ["3", "4", "6"]
        assert copy.rows("SELECT d, r FROM t WHERE id = 6") == [["0001-01-01 BC", "1.5"]] or kind == "duckdb"
        reasons = [reason for _, reason in copy.rejected()]
        assert ["'10000-01-01'" in reasons[0], "'-0044-03-15'" in reasons[1], "'a\\xff'" in reasons[2]] == [True] * 3, reasons


def test_a_row_that_a_view_of_duckdb_cannot_give_fails_its_entity_alone(bin_dir, house):
    shop, copy = house("duckdb"), house("sqlite")
    shop.sql("CREATE TABLE a AS SELECT 1 AS id; CREATE VIEW b AS SELECT i AS id, CAST(if(i = 20000, 'x', '1') AS INTEGER) AS v FROM "
             "range(40000) r(i); CREATE TABLE c (id INTEGER, d DATE, t TIMESTAMP); "
             "INSERT INTO c VALUES (1, '0044-03-15 (BC)', NULL), (2, NULL, '10000-01-01'), (3, 'infinity', NULL), (4, '2026-01-31', NULL)")
    found = sync(bin_dir, shop, copy, "--max-rejected", "3", expect=1)
    assert {name: (e.get("errorKind"), e["rowsWritten"]) for name, e in found.items()} == {"a": (None, 1), "b": ("data", 0), "c": (None, 1)}
    assert all(word in found["b"]["error"] for word in ('entity "b"', "'x'", "leave its column out")), found["b"]["error"]
    assert copy.rows("SELECT id, d FROM c") == [["4", "2026-01-31"]]


@pytest.mark.parametrize("kind, fails", [("sqlite", False), ("duckdb", False), ("postgres", True)])
def test_a_type_without_a_form_fails_its_entity_alone(bin_dir, house, tmp_path, kind, fails):
    copy = house(kind)
    number = Decimal("1" * 60)
    for name, values in {"a": [1], "b": pyarrow.array([number], pyarrow.decimal256(70, 2)), "c": [3]}.items():
        pyarrow.parquet.write_table(pyarrow.table({"v": values}), tmp_path / f"{name}.parquet")
    found = sync(bin_dir, tmp_path / "*.parquet", copy, expect=2 if fails else 0)
    assert [found[name]["rowsWritten"] for name in "abc"] == [1, 0 if fails else 1, 1]
    if fails:
        assert all(word in found["b"]["error"] for word in ('column "v"', "decimal(70,2)", "leave it out")), found["b"]["error"]
    else:
        assert copy.rows("SELECT v FROM b") == [[f"{number}.00"]]


def wide(house, columns, kind="boolean"):
    shop = house("sqlite")
    shop.sql(f"CREATE TABLE t (id integer, {', '.join(f'c{i} {kind}' for i in range(1, columns))}); INSERT INTO t (id, c1) VALUES (1, 1), (2, 0)")
    return shop


@pytest.mark.parametrize("kind, most", [("postgres", 1600), ("sqlite", 2000), ("duckdb", 2000)])
def test_as_many_columns_as_a_table_takes_are_copied(bin_dir, house, kind, most):
    """Symptom: "tables can have at most 1600 columns" of a table that has them, because a merge numbers its rows."""
    shop, copy = wide(house, most), house(kind)
    assert sync(bin_dir, shop, copy, "--key", "id")["t"]["rowsWritten"] == 2
    assert copy.rows("SELECT id, c2 IS NULL FROM t ORDER BY id")[1][0] == "2"
    merge = ["--incremental", "--cursor", "id", "--key", "id"]
    other = house(kind)
    if kind == "duckdb":
        assert sync(bin_dir, shop, other, *merge)["t"]["rowsWritten"] == 2
        return
    error = sync(bin_dir, shop, other, *merge, expect=2)["t"]["error"]
    assert "leave" in error and "`columns`" in error and ("1599" in error or "a merge one less" in error), error
    assert sync(bin_dir, shop, other, *merge, "--exclude-columns", "c9")["t"]["rowsWritten"] == 2


def test_a_row_that_is_longer_than_a_page_says_so_and_names_no_other(bin_dir, house):
    """Symptom: the row that was named was the last of those that had come."""
    shop, copy = wide(house, 1600, "integer"), house("postgres")
    shop.sql(f"UPDATE t SET {', '.join(f'c{i} = 1' for i in range(1, 1600))} WHERE id = 1")
    error = sync(bin_dir, shop, copy, "--key", "id", expect=2)["t"]["error"]
    assert "row is too big" in error and "`columns`" in error and "of those that were loaded" not in error, error


def test_a_key_that_no_index_takes_rejects_its_row(bin_dir, house, tmp_path):
    """Symptom: the whole merge failed, and no row was named."""
    copy = house("postgres")
    source = tmp_path / "t.csv"
    source.write_text("k,n\na,0\n")
    merge = ["--incremental", "--cursor", "n", "--key", "k", "--max-rejected", "1"]
    sync(bin_dir, source, copy, *merge)
    long_key = os.urandom(8192).hex()  # nothing that could be compressed enough
    source.write_text(f"k,n\na,1\n{long_key},2\nb,3\n")
    assert sync(bin_dir, source, copy, *merge)["t"]["rowsRejected"] == 1
    assert copy.rows("SELECT n FROM t ORDER BY n") == [["1"], ["3"]]
    assert [("index row" in reason, "`columns`" in reason) for _, reason in copy.rejected()] == [(True, True)]


def test_ten_thousand_entities_are_found_and_one_bad_one_told(bin_dir, house):
    shop, copy = house("sqlite"), house("sqlite")
    with closing(sqlite3.connect(shop.url)) as db:
        # Views are made in the catalog itself: SQLite looks through it for each CREATE.
        db.execute("CREATE TABLE good (id INTEGER)")
        db.execute("INSERT INTO good VALUES (1)")
        db.execute("PRAGMA writable_schema = ON")
        db.executemany("INSERT INTO sqlite_schema VALUES ('view', ?1, ?1, 0, 'CREATE VIEW ' || ?1 || ' AS SELECT 1 AS id')",
                       ((f"v{i:05d}",) for i in range(9_998)))
        db.execute("INSERT INTO sqlite_schema VALUES ('view', 'bad', 'bad', 0, 'CREATE VIEW bad AS SELECT * FROM nowhere')")
        db.commit()
    found = sync(bin_dir, shop, copy, "--dry-run", expect=2)
    assert len(found) == 10_000
    assert [(name, e["outcome"]) for name, e in found.items() if e["outcome"] != "skipped"] == [("bad", "failed")]
    assert "nowhere" in found["bad"]["error"]
    assert set(sync(bin_dir, shop, copy, "good", "v0999*")) == {"good", *(f"v0999{i}" for i in range(8))}


# ---- faults


@pytest.mark.parametrize("free", [1_500_000, 300_000, 20_000, 0])
def test_a_full_disk_leaves_the_old_table_of_duckdb_and_the_next_run_succeeds(bin_dir, tmp_path, small_disk, free):  # noqa: F811
    source, target = tmp_path / "items.csv", small_disk / "out.duckdb"
    data.write_csv(source, 100)
    sync(bin_dir, source, target, "--key", "id")
    before = files_below(small_disk)
    data.write_csv(source, 100_000)
    fill(small_disk, free)
    entity = sync(bin_dir, source, target, "--key", "id", expect=1)["items"]
    assert entity["errorKind"] == "transient" and "free some space" in entity["error"] and str(target) in entity["error"], entity
    (small_disk / "filler").unlink()
    # Where not even the claim has a place in the file, it waits in DuckDB's log.
    left = set(files_below(small_disk)) - set(before)
    assert left <= ({"out.duckdb.wal"} if free < 300_000 else set()), left
    back = tmp_path / f"back{free}.db"
    sync(bin_dir, target, back)
    assert data.ids(back) == list(range(1, 101))
    sync(bin_dir, source, target, "--key", "id")
    sync(bin_dir, target, back)
    assert data.query(back, "SELECT count(*), max(id) FROM items") == [(100_000, 100_000)]
    assert files_below(small_disk) == before


def test_a_full_disk_of_postgresql_leaves_the_old_table_and_says_whose_it_is(bin_dir, house, tmp_path):
    copy, source = house("postgres"), tmp_path / "t.csv"
    data.write_csv(source, 10)
    sync(bin_dir, source, copy, "--key", "id", "--job", "j")
    data.write_csv(source, 50)
    # What the server says when its disk is full, when some of the rows are written.
    copy.sql("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 30 THEN RAISE 'could not extend file' "
             "USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$; "
             "CREATE TRIGGER full_disk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION full_disk()")
    (tmp_path / "u.csv").write_text("id\n1\n")
    for options in (["--key", "id", "--job", "j"], ["--incremental", "--cursor", "id", "--key", "id", "--job", "other", "--take-over"]):
        found = sync(bin_dir, tmp_path / "?.csv", copy, *options, expect=1)
        assert found["t"]["errorKind"] == "transient" and "free some space on the server's disk" in found["t"]["error"]
        assert found["u"]["outcome"] == "succeeded"
        assert copy.rows("SELECT count(*) FROM t") == [["10"]]
    copy.sql("DROP TRIGGER full_disk ON t")
    sync(bin_dir, tmp_path / "?.csv", copy, *options)
    assert copy.rows("SELECT count(*) FROM t") == [["50"]]


def gone_in_mid_copy(bin_dir, source, copy, options, end):
    """The way to the server, through which a load goes until `end` has ended what is behind it."""
    proxy = Proxy(copy.server.address)
    trap = proxy.trap(lambda _: proxy.bytes[UP] > 500_000, Trap.HOLD)

    def fault():
        if trap.sprung.wait(60):
            end()
        trap.drop()

    thread = threading.Thread(target=fault)
    thread.start()
    try:
        found = sync(bin_dir, source, copy.server.url(copy.name, address=("127.0.0.1", proxy.port)), *options, expect=1)
        assert trap.sprung.is_set()
        return found
    finally:
        trap.sprung.set()
        thread.join()
        proxy.stop()


@pytest.mark.parametrize("mode", [[], ["--incremental", "--cursor", "id"]])
def test_a_connection_that_is_lost_in_mid_copy_leaves_the_old_table_and_the_others_are_loaded(bin_dir, house, tmp_path, mode):
    copy = house("postgres")
    options = [*mode, "--key", "id", "--job", "j"]
    for name, rows in (("a", 100), ("b", 5)):
        data.write_csv(tmp_path / f"{name}.csv", rows)
    sync(bin_dir, tmp_path / "?.csv", copy, *options)
    data.write_csv(tmp_path / "a.csv", 40_000, seed=2)
    data.append_csv(tmp_path / "b.csv", 6, 1)
    found = gone_in_mid_copy(bin_dir, tmp_path / "?.csv", copy, options, lambda: None)
    assert found["a"]["errorKind"] == "transient" and "was lost" in found["a"]["error"] and found["a"]["rowsWritten"] == 0
    assert found["b"]["outcome"] == "succeeded" and copy.rows("SELECT count(*) FROM b") == [["6"]]
    assert copy.rows("SELECT count(*), max(id) FROM a") == [["100", "100"]]
    sync(bin_dir, tmp_path / "?.csv", copy, *options, "--reset" if not mode else "--max-rejected=0")
    assert copy.rows("SELECT count(*), count(DISTINCT id) FROM a") == [["40000", "40000"]]


def test_a_server_that_is_killed_in_mid_copy_leaves_the_old_table(bin_dir, house, tmp_path):
    copy = house("postgres")
    data.write_csv(tmp_path / "a.csv", 100)
    sync(bin_dir, tmp_path / "a.csv", copy, "--job", "j")
    data.write_csv(tmp_path / "a.csv", 40_000)
    try:
        found = gone_in_mid_copy(bin_dir, tmp_path / "a.csv", copy, ["--job", "j"], copy.server.kill)
        assert found["a"]["errorKind"] == "transient", found
    finally:
        if not copy.server.running():
            copy.server.start()
    assert copy.rows("SELECT count(*) FROM a") == [["100"]]
    sync(bin_dir, tmp_path / "a.csv", copy, "--job", "j")
    assert copy.rows("SELECT count(*) FROM a") == [["40000"]]
    assert copy.rows("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_tidegate\\_stage%'") == [["0"]]


def test_what_a_user_of_postgresql_may_not_write_is_named_and_the_others_are_loaded(bin_dir, house, tmp_path):
    copy = house("postgres")
    role = f"writer{os.urandom(4).hex()}"
    copy.sql("CREATE TABLE t (id bigint, v bigint)")
    copy.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    for name in "tu":
        (tmp_path / f"{name}.csv").write_text("id,v\n1,2\n")
    url = copy.server.url(copy.name, f"{role}:pw")
    try:
        done = run(bin_dir, "sync", tmp_path / "?.csv", url, expect=1)
        assert f'GRANT USAGE, CREATE ON SCHEMA "public" TO "{role}"' in done.stderr
        copy.sql(f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
        for grant in ("", f"GRANT SELECT ON t TO {role}", f"GRANT INSERT (id) ON t TO {role}"):
            copy.sql(grant or "SELECT 1")
            found = sync(bin_dir, tmp_path / "?.csv", url, expect=1)
            assert found["t"]["errorKind"] == "permission" and "table t; GRANT" in found["t"]["error"] and role in found["t"]["error"]
            assert found["u"]["outcome"] == "succeeded"
        copy.sql(f"GRANT ALL ON t TO {role}")
        assert sync(bin_dir, tmp_path / "?.csv", url)["t"]["rowsWritten"] == 1
    finally:
        copy.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_file_of_duckdb_that_may_not_be_written_is_a_question_of_permission(bin_dir, tmp_path, own_mounts):  # noqa: F811
    folder = tmp_path / "house"
    folder.mkdir()
    (tmp_path / "t.csv").write_text("id\n1\n")
    sync(bin_dir, tmp_path / "t.csv", folder / "out.duckdb")
    with read_only(folder):
        for name in ("out.duckdb", "new.duckdb"):
            entity = sync(bin_dir, tmp_path / "t.csv", folder / name, expect=1)["t"]
            assert entity["errorKind"] == "permission" and str(folder) in entity["error"], entity
        # Reading needs no more.
        assert sync(bin_dir, folder / "out.duckdb", tmp_path / "back.db")["t"]["rowsWritten"] == 1


# ---- keys


@pytest.mark.parametrize("kind", KINDS)
def test_a_primary_key_that_changes_is_followed_or_asks_for_a_reset(bin_dir, house, kind):
    shop, copy = house("postgres"), house(kind)
    shop.sql("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, n int NOT NULL); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")
    sync(bin_dir, shop, copy)
    # A row under another key, then a key of other columns under which two ids are one.
    shop.sql("UPDATE t SET id = 9 WHERE id = 2")
    sync(bin_dir, shop, copy)
    assert copy.rows("SELECT id, code FROM t ORDER BY id") == [["1", "a"], ["9", "b"]]
    shop.sql("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code); INSERT INTO t VALUES (1, 'c', 3)")
    sync(bin_dir, shop, copy)
    assert copy.rows("SELECT id, code FROM t ORDER BY code") == [["1", "a"], ["9", "b"], ["1", "c"]]
    merge = ["--incremental", "--cursor", "n", "--take-over", "--job", "merge"]
    sync(bin_dir, shop, copy, *merge)
    shop.sql("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n); UPDATE t SET code = 'c' WHERE code = 'b'; INSERT INTO t VALUES (5, 'c', 4)")
    error = sync(bin_dir, shop, copy, *merge, expect=2)["t"]["error"]
    assert "key" in error and "reset" in error, error
    assert len(copy.rows("SELECT id FROM t")) == 3
    sync(bin_dir, shop, copy, *merge, "--reset")
    assert copy.rows("SELECT code, n FROM t ORDER BY n") == [["a", "1"], ["c", "2"], ["c", "3"], ["c", "4"]]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_one_key_in_a_source_that_says_it_is_unique_are_told(bin_dir, house, kind):
    shop, copy = house("duckdb"), house(kind)
    shop.sql("CREATE TABLE base (id INTEGER, n INTEGER); INSERT INTO base VALUES (1, 1), (1, 3), (1, 2), (2, 4); CREATE VIEW t AS FROM base")
    for options in ([], ["--incremental", "--cursor", "n", "--take-over", "--job", "merge"]):
        entity = sync(bin_dir, shop, copy, "t", "--key", "id", *options)["t"]
        assert (entity["rowsRead"], entity["rowsWritten"], entity["rowsSuperseded"]) == (4, 2, 2)
        assert any("2 row(s) share their key (id)" in w and "--key" in w for w in entity["warnings"])
        assert copy.rows("SELECT id FROM t ORDER BY id") == [["1"], ["2"]]
    assert copy.rows("SELECT n FROM t ORDER BY id") == [["3"], ["4"]], "of each key the greatest cursor"


@pytest.mark.parametrize("kind", KINDS)
def test_a_unique_column_of_the_users_refuses_the_second_row(bin_dir, house, tmp_path, kind):
    copy = house(kind)
    copy.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, code VARCHAR(9) UNIQUE)")
    (tmp_path / "t.csv").write_text("id,code\n1,a\n2,b\n3,a\n")
    (tmp_path / "u.csv").write_text("id\n1\n")
    found = sync(bin_dir, tmp_path / "?.csv", copy, "--key", "id", expect=1)
    assert found["t"]["errorKind"] == "data" and found["u"]["outcome"] == "succeeded"
    assert copy.rows("SELECT * FROM t") == []
    if kind == "duckdb":  # it has no savepoints
        assert "unique" in found["t"]["error"].lower() and "correct the row" in found["t"]["error"]
        return
    assert sync(bin_dir, tmp_path / "t.csv", copy, "--key", "id", "--max-rejected", "1", "--take-over")["t"]["rowsRejected"] == 1
    assert copy.rows("SELECT id, code FROM t ORDER BY id")[:1] == [["1", "a"]] and len(copy.rows("SELECT id FROM t")) == 2


def test_a_value_of_a_gigabyte_is_rejected_with_its_column_and_the_others_are_copied(bin_dir, house):
    """Symptom: "string or blob too big", of no column, and the entity failed whatever maxRejected said."""
    shop, copy = house("sqlite"), house("sqlite")
    shop.sql("CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1); "
             "CREATE VIEW v AS SELECT 1 AS id, zeroblob(1000000000) AS b UNION ALL SELECT 2, x'01'")
    found = sync(bin_dir, shop, copy, "--max-rejected", "1")
    assert (found["a"]["rowsWritten"], counts(found["v"])) == (1, ("succeeded", 2, 1, 1))
    [(_, reason)] = copy.rejected()
    assert 'column "b": the value has 1000000000 bytes' in reason and "--exclude-columns" in reason
    assert copy.rows("SELECT id, length(b) FROM v") == [["2", "1"]]
