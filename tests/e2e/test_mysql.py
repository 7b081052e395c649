"""MySQL (MariaDB) as a source and a destination: files and tables arrive whole, a looping reader never sees a part, views
and grants stay, incremental runs copy what is new, and whoever is killed on the way loses and doubles nothing."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import data
from harness import wait_for
from stores import MysqlServer, descendants
from test_cli_local import run

ROWS = 30_000


@pytest.fixture
def warehouse(store_servers):
    server = store_servers.get("mysql")
    name = f"house{os.urandom(6).hex()}"
    server.sql(f"CREATE DATABASE {name}")
    yield server, name
    server.sql(f"DROP DATABASE {name}")


def total(server, name, table="t"):
    return server.sql(f"SELECT count(*), count(DISTINCT id), coalesce(sum(id), 0) FROM {table}", name)[0]


def wanted(rows):
    return [str(rows), str(rows), str(rows * (rows + 1) // 2)]


@pytest.mark.parametrize("loads", ["ON", "OFF"])
def test_files_become_tables_and_full_loads_leave_views_and_grants(bin_dir, warehouse, tmp_path, loads):
    server, name = warehouse
    server.sql(f"SET GLOBAL local_infile = {loads}")
    try:
        data.write_csv(tmp_path / "t.csv", ROWS)
        run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", cwd=tmp_path)
        assert total(server, name) == wanted(ROWS)
        role = f"reader{os.urandom(4).hex()}"
        server.sql(f"CREATE VIEW v AS SELECT count(*) AS n FROM t; CREATE USER {role}; GRANT SELECT ON t TO {role}", name)
        data.write_csv(tmp_path / "t.csv", ROWS + 5)
        seen, stop = set(), threading.Event()

        def look():
            while not stop.is_set():
                seen.add(server.sql("SELECT count(*) FROM t", name)[0][0])

        reader = threading.Thread(target=look)
        reader.start()
        try:
            run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", cwd=tmp_path)
        finally:
            stop.set()
            reader.join()
        assert seen <= {str(ROWS), str(ROWS + 5)}, seen
        assert server.sql("SELECT n FROM v", name) == [[str(ROWS + 5)]]
        assert any("SELECT" in grant and "`t`" in grant for [grant] in server.sql(f"SHOW GRANTS FOR {role}"))
        server.sql(f"DROP USER {role}")
    finally:
        server.sql("SET GLOBAL local_infile = ON")


def test_rows_that_a_constraint_refuses_are_told_and_the_others_loaded(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, name longtext, amount decimal(12,2), CONSTRAINT no_seven CHECK (name <> 'n7'))", name)
    (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in range(1, 101)))
    run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", "--max-rejected", "1", cwd=tmp_path)
    assert server.sql("SELECT count(*) FROM t", name) == [["99"]]
    assert "no_seven" in server.sql("SELECT reason FROM _tidegate_rejected", name)[0][0]
    run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", cwd=tmp_path, expect=1)
    assert server.sql("SELECT count(*) FROM t", name) == [["99"]]


def test_killed_children_and_cut_connections_lose_nothing(make_server, warehouse):
    database, name = warehouse
    server = make_server()
    data.write_csv(server.files / "t.csv", ROWS)
    source = server.api("POST", "/data-sources", {"name": "files", "type": "file", "config": {"path": str(server.files / "t.csv")}})
    target = server.api("POST", "/destinations", {"name": "house", "type": "mysql", "config": {"url": database.url(name)}})
    job = server.create_job("t", (source["id"], target["id"]), syncMode="incremental", entities={"t": {"cursor": "id", "primaryKey": ["id"]}},
                            retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    rows = ROWS
    for n in range(4):
        if n:
            data.append_csv(server.files / "t.csv", rows + 1, 1000)
            rows += 1000
        run_id = server.run_now(job["id"])

        def sessions():
            return [pid for [pid] in database.sql(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()")]

        wait_for(lambda: sessions() or server.api("GET", f"/runs/{run_id}")["state"] not in ("queued", "running"),
                 "the child is connected, or done")
        if n % 2:
            for pid in sessions():
                try:
                    database.sql(f"KILL {pid}")
                except AssertionError as error:
                    assert "Unknown thread id" in str(error)  # it was quicker
        else:
            for pid in descendants(server.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it was quicker
        assert server.wait_run(run_id)["state"] == "succeeded"
        assert total(database, name) == wanted(rows)


def test_tables_become_files_of_sqlite_and_incremental_runs_copy_what_is_new(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    fill = ("INSERT INTO orders SELECT seq, seq + 0.25, TIMESTAMPADD(MICROSECOND, seq * 1000001, '2026-01-01'), concat('n', seq), "
            "json_object('i', seq) FROM seq_{}_to_{}")
    server.sql("CREATE TABLE orders (id bigint PRIMARY KEY, amount decimal(12,2), at datetime(6) NOT NULL, note text, doc json);" +
               fill.format(1, ROWS), name)
    for last in (ROWS, ROWS, ROWS + 100):
        if last > ROWS:
            server.sql(fill.format(ROWS + 1, last), name)
        run(bin_dir, "sync", server.url(name), "out.db", "orders", "--incremental", "--cursor", "at", cwd=tmp_path)
        assert data.query(tmp_path / "out.db", "SELECT count(*), count(DISTINCT id), sum(id) FROM orders") == [
            (last, last, last * (last + 1) // 2)]


def test_between_two_databases_nothing_of_a_value_is_lost(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    other = name + "b"
    server.sql(f"CREATE DATABASE {other}")
    try:
        server.sql("CREATE TABLE t (id bigint unsigned PRIMARY KEY, n decimal(12,4), at datetime(6), d date, b varbinary(100), j json, f double, "
                   "g float, k boolean, e enum('x', 'y'), c time(6), big decimal(65,30), s varchar(100)) CHARACTER SET utf8mb4;"
                   "INSERT INTO t SELECT seq, seq + 0.0625, TIMESTAMPADD(MICROSECOND, seq * 1000001, '1900-01-01'), DATE '0001-01-01' + INTERVAL "
                   "seq DAY, unhex(lpad(hex(seq), 8, '0')), json_object('i', seq), 1.0e0 / seq, 1.0e0 / seq, seq % 2, if(seq % 2, 'x', 'y'), "
                   "sec_to_time(seq) + 0, seq + 0.000000000000000000000000000001, concat('a\\tb\\nc\\\\d''é😀', char(0), seq) "
                   "FROM seq_1_to_1000; INSERT INTO t (id) VALUES (0), (18446744073709551615)", name)
        run(bin_dir, "sync", server.url(name), server.url(other), "t", cwd=tmp_path)
        text = ("SELECT count(*), md5(group_concat(concat_ws('|', id, n, at, d, hex(b), j, f, g + 0e0, k, e, c, big, hex(s)) ORDER BY id)) FROM t")
        limit = "SET SESSION group_concat_max_len = 100000000; "
        assert server.sql(limit + text, name) == server.sql(limit + text, other)
    finally:
        server.sql(f"DROP DATABASE {other}")


def certificate(folder, name, ca=None):
    """A new key and certificate; without `ca` one that signs others."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    if ca is None:
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.pem")
    else:
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "30", "-out",
                f"{name}.pem")
    (folder / f"{name}.key").chmod(0o644)  # the server is another user


def test_tls_proves_what_its_mode_says(bin_dir, tmp_path):
    # Open to the user `mysql`, which pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="tidegate-my-", dir="/dev/shm"))
    folder.chmod(0o755)
    certificate(folder, "right")
    certificate(folder, "wrong")
    certificate(folder, "elsewhere", "right")
    certificate(folder, "localhost", "right")
    (tmp_path / "t.csv").write_text("id\n1\n")

    class TlsServer(MysqlServer):
        def start(self):
            real = self.tool.start
            words = [f"--ssl-{part}={folder / file}" for part, file in
                     (("ca", "right.pem"), ("cert", f"{self.name}.pem"), ("key", f"{self.name}.key"))]
            self.tool.start = lambda f, port, durable: real(f, port, durable, words)
            return super().start()

    try:
        for name in ("elsewhere", "localhost"):
            server = TlsServer(folder / f"server-{name}")
            server.name = name
            server.start()
            try:
                for mode, ca, works in (("disabled", None, True), ("preferred", None, True), ("required", None, True),
                                        ("verify-ca", "right", True), ("verify-ca", "wrong", False),
                                        ("verify-identity", "right", name == "localhost"), ("verify-identity", "wrong", False),
                                        ("verify-identity", None, False)):
                    url = server.url("tidegate").replace("127.0.0.1", "localhost") + f"?ssl-mode={mode}"
                    if ca:
                        url += f"&ssl-ca={folder / ca}.pem"
                    done = run(bin_dir, "sync", "t.csv", url, cwd=tmp_path, expect=0 if works else 2)
                    assert works or "sslMode" in done.stdout + done.stderr, (name, mode, ca)
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_table_is_not_written_into_itself(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')", name)
    failed = run(bin_dir, "sync", server.url(name), server.url(name), "t", "--columns", "id", "--take-over", cwd=tmp_path, expect=2)
    assert "would write into what it reads" in failed.stdout + failed.stderr
    assert server.sql("SELECT * FROM t ORDER BY id", name) == [["1", "a"], ["2", "b"]]
