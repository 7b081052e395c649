"""PostgreSQL as a destination: files and tables arrive whole, a looping reader never sees a part, views and grants stay,
and whoever is killed on the way loses and doubles nothing."""
import os
import signal
import threading

import pytest

import data
from harness import wait_for
from stores import descendants
from test_cli_local import run

ROWS = 30_000


@pytest.fixture
def warehouse(store_servers):
    server = store_servers.get("postgres")
    name = f"house{os.urandom(6).hex()}"
    server.sql(f"CREATE DATABASE {name}")
    yield server, name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def total(server, name, table="t"):
    return server.sql(f"SELECT count(*), count(DISTINCT id), coalesce(sum(id), 0) FROM {table}", name)[0]


def wanted(rows):
    return [str(rows), str(rows), str(rows * (rows + 1) // 2)]


def test_files_become_tables_and_full_loads_leave_views_and_grants(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    data.write_csv(tmp_path / "t.csv", ROWS)
    run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", cwd=tmp_path)
    assert total(server, name) == wanted(ROWS)
    role = f"reader{os.urandom(4).hex()}"
    server.sql(f"CREATE VIEW v AS SELECT count(*) AS n FROM t; CREATE ROLE {role}; GRANT SELECT ON t TO {role}", name)
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
    assert server.sql(f"SELECT has_table_privilege('{role}', 't', 'SELECT')", name) == [["t"]]
    server.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", name)


def test_rows_that_a_constraint_refuses_are_told_and_the_others_loaded(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (name <> 'n7'), amount numeric(12,2), at timestamptz)", name)
    (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in range(1, 101)))
    run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", "--max-rejected", "1", cwd=tmp_path)
    assert server.sql("SELECT count(*) FROM t", name) == [["99"]]
    assert "t_name_check" in server.sql("SELECT reason FROM _tidegate_rejected", name)[0][0]
    run(bin_dir, "sync", "t.csv", server.url(name), "--key", "id", cwd=tmp_path, expect=1)
    assert server.sql("SELECT count(*) FROM t", name) == [["99"]]


def test_killed_children_and_cut_connections_lose_nothing(make_server, warehouse):
    database, name = warehouse
    server = make_server()
    data.write_csv(server.files / "t.csv", ROWS)
    source = server.api("POST", "/data-sources", {"name": "files", "type": "file", "config": {"path": str(server.files / "t.csv")}})
    target = server.api("POST", "/destinations", {"name": "house", "type": "postgres", "config": {"url": database.url(name)}})
    job = server.create_job("t", (source["id"], target["id"]), syncMode="incremental", entities={"t": {"cursor": "id", "primaryKey": ["id"]}},
                            retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    rows = ROWS
    for n in range(4):
        if n:
            data.append_csv(server.files / "t.csv", rows + 1, 1000)
            rows += 1000
        run_id = server.run_now(job["id"])
        session = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidegate-sync'"
        wait_for(lambda: database.sql(session, name) or server.api("GET", f"/runs/{run_id}")["state"] not in ("queued", "running"),
                 "the child is connected, or done")
        if n % 2:
            database.sql(f"SELECT pg_terminate_backend(pid) FROM ({session}) s", name)
        else:
            for pid in descendants(server.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it was quicker
        assert server.wait_run(run_id)["state"] == "succeeded"
        assert total(database, name) == wanted(rows)


def test_between_two_databases_nothing_of_a_value_is_lost(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    other = name + "b"
    server.sql(f"CREATE DATABASE {other}")
    try:
        server.sql("CREATE TABLE t (id bigint PRIMARY KEY, n numeric(12,4), at timestamptz, d date, b bytea, j jsonb, f float8, k boolean, u uuid, "
                   "a int[]); INSERT INTO t SELECT i, i + 0.0625, timestamptz '1900-01-01' + i * interval '1.000001 s', date '0001-01-01' + i, "
                   "decode(lpad(to_hex(i), 8, '0'), 'hex'), jsonb_build_object('i', i), 1.0 / i, i % 2 = 0, gen_random_uuid(), ARRAY[i, NULL] "
                   "FROM generate_series(1, 1000) i; INSERT INTO t (id) VALUES (0)", name)
        run(bin_dir, "sync", server.url(name), server.url(other), "t", cwd=tmp_path)
        text = "SELECT md5(string_agg(concat_ws('|', id, n, at, d, b, j, f, k, u, a::text), E'\\n' ORDER BY id)) FROM (SELECT id, n, at, d, b, j, f, k, u::text, {} AS a FROM t) t"
        assert server.sql(text.format("to_json(a)::jsonb"), name) == server.sql(text.format("a"), other)
    finally:
        server.sql(f"DROP DATABASE {other} WITH (FORCE)")


def test_a_database_is_not_copied_onto_itself(bin_dir, warehouse, tmp_path):
    server, name = warehouse
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b'); CREATE SCHEMA copy", name)
    failed = run(bin_dir, "sync", server.url(name), server.url(name), "t", "--columns", "id", "--take-over", cwd=tmp_path, expect=2)
    assert "would write into what it reads" in failed.stdout + failed.stderr
    assert server.sql("SELECT * FROM t ORDER BY id", name) == [["1", "a"], ["2", "b"]]
    # A copy beside it is possible, and is not copied in its turn.
    (tmp_path / "tidegate.yaml").write_text(
        f"sources:\n  a: {{type: postgres, config: {{url: '{server.url(name)}'}}}}\n"
        f"destinations:\n  b: {{type: postgres, config: {{url: '{server.url(name)}', schema: copy}}}}\n")
    tables = "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'copy' AND tablename NOT LIKE '\\_tidegate%'"
    for _ in range(2):
        run(bin_dir, "sync", "a", "b", cwd=tmp_path)
        assert server.sql(tables, name) == [["t"]]
    assert server.sql("SELECT * FROM copy.t ORDER BY id", name) == [["1", "a"], ["2", "b"]]
