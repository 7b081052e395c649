"""DuckDB files: rows arrive whole and come back, whoever is killed on the way loses and doubles nothing, and a library that is
not there is named. They are read back through Tidegate into SQLite."""
import os
import signal
import sqlite3
from contextlib import closing

import data
from harness import wait_for
from stores import descendants
from test_cli_local import run

ROWS = 30_000


def back(bin_dir, folder, *tables):
    """The tables of out.duckdb, as an SQLite database that is made anew."""
    (folder / "back.db").unlink(missing_ok=True)
    run(bin_dir, "sync", folder / "out.duckdb", folder / "back.db", *tables)
    return folder / "back.db"


def total(database):
    with closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT count(*), count(DISTINCT id), coalesce(sum(id), 0) FROM t").fetchone()


def wanted(rows):
    return rows, rows, rows * (rows + 1) // 2


def test_files_become_tables_and_come_back_by_path_and_url(bin_dir, tmp_path):
    data.write_csv(tmp_path / "t.csv", ROWS)
    run(bin_dir, "sync", "t.csv", "out.duckdb", "--key", "id", cwd=tmp_path)
    assert total(back(bin_dir, tmp_path)) == wanted(ROWS)
    (tmp_path / "out.duckdb").rename(tmp_path / "renamed")
    for source in ("renamed", f"duckdb:{tmp_path}/renamed", "duckdb:renamed"):
        (tmp_path / "back.db").unlink()
        run(bin_dir, "sync", source, "back.db", "t", cwd=tmp_path)
        assert total(tmp_path / "back.db") == wanted(ROWS)
    assert data.query(tmp_path / "back.db", "SELECT id, name, amount, at FROM t ORDER BY id") == data.read_csv(tmp_path / "t.csv")
    assert {p.name for p in tmp_path.iterdir()} <= {"t.csv", "renamed", "back.db", "back.db-wal", "back.db-shm"}, "nothing of DuckDB's is left"


def test_incremental_runs_merge_what_is_new(bin_dir, tmp_path):
    data.write_csv(tmp_path / "t.csv", 1000)
    for rows in (1000, 1500):
        run(bin_dir, "sync", "t.csv", "out.duckdb", "--incremental", "--cursor", "id", "--key", "id", cwd=tmp_path)
        assert total(back(bin_dir, tmp_path)) == wanted(rows)
        data.append_csv(tmp_path / "t.csv", rows + 1, 500)


def test_a_library_that_is_not_there_is_named_with_the_remedy(bin_dir, tmp_path):
    (tmp_path / "t.csv").write_text("id\n1\n")
    done = run(bin_dir, "sync", "t.csv", "out.duckdb", cwd=tmp_path, env={"TIDEGATE_DUCKDB_LIBRARY": "/nowhere/libduckdb.so"}, expect=2)
    said = done.stdout + done.stderr
    assert "/nowhere/libduckdb.so" in said and "TIDEGATE_DUCKDB_LIBRARY" in said and "./dev setup" in said
    other = tmp_path / "libsomething.so"
    other.symlink_to("/lib/x86_64-linux-gnu/libc.so.6")
    done = run(bin_dir, "sync", "t.csv", "out.duckdb", cwd=tmp_path, env={"TIDEGATE_DUCKDB_LIBRARY": str(other)}, expect=2)
    assert "is no DuckDB library of version 1.5" in done.stdout + done.stderr
    assert not (tmp_path / "out.duckdb").exists()


def test_killed_children_lose_nothing(bin_dir, make_server):
    server = make_server()
    data.write_csv(server.files / "t.csv", ROWS)
    source = server.api("POST", "/data-sources", {"name": "files", "type": "file", "config": {"path": "t.csv"}})
    target = server.api("POST", "/destinations", {"name": "house", "type": "duckdb", "config": {"path": "out.duckdb"}})
    job = server.create_job("t", (source["id"], target["id"]), syncMode="incremental", entities={"t": {"cursor": "id", "primaryKey": ["id"]}},
                            retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    rows = ROWS
    for n in range(4):
        if n:
            data.append_csv(server.files / "t.csv", rows + 1, 1000)
            rows += 1000
        run_id = server.run_now(job["id"])
        wait_for(lambda: descendants(server.process.pid) or server.api("GET", f"/runs/{run_id}")["state"] not in ("queued", "running"),
                 "the child runs, or is done")
        for pid in descendants(server.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was quicker
        assert server.wait_run(run_id)["state"] == "succeeded"
        assert total(back(bin_dir, server.files)) == wanted(rows)
