"""What breaks around a sync: disks, permissions, damaged and locked files, odd CSV, a missing engine.

Mounts are made in a mount namespace of the test's own, so they end with it.
"""
import ctypes
import json
import os
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

import data
from harness import wait_for
from test_crash import children

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


@pytest.fixture(scope="module")
def own_mounts():
    uid, gid = os.getuid(), os.getgid()
    call("unshare", CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER)
    if uid != 0:  # root in a user namespace of its own may mount too
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as f:
                f.write(text)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)


@pytest.fixture
def small_disk(own_mounts, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    call("mount", b"none", bytes(folder), b"tmpfs", 0, b"size=8m")
    yield folder
    call("umount2", bytes(folder), 2)


@contextmanager
def read_only(folder):
    call("mount", bytes(folder), bytes(folder), None, MS_BIND, None)
    try:
        call("mount", b"none", bytes(folder), None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)
        yield
    finally:
        call("umount2", bytes(folder), 2)


def fill(folder, leave):
    """A file that leaves so many bytes free."""
    free = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - leave))


def sync(bin_dir, *args, expect=0):
    """The result of `tidegate sync`, and what it told a person: on stderr, and as log events."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    done = subprocess.run([bin_dir / "tidegate", "sync", *map(str, args)], env=clean, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    logged = [line["message"] for line in lines if line["type"] == "log"]
    return lines[-1], "\n".join([*logged, done.stderr])


def rows_of(target):
    """Rows of the table or file `items` in a destination."""
    if target.suffix == ".db":
        with closing(sqlite3.connect(target)) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
            return [r[0] for r in db.execute("select id from items order by id")]
    return data.read_csv_ids(target / "items.csv")


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() or p.is_symlink())


# Bytes that are free: a load that does not fit, a claim that does not, no index of a log.
@pytest.mark.parametrize("free", [300_000, 100_000, 20_000, 0])
@pytest.mark.parametrize("name", ["out.db", "out/"])
def test_a_full_disk_leaves_the_old_table_and_the_next_run_succeeds(bin_dir, tmp_path, small_disk, name, free):
    source = tmp_path / "items.csv"
    target = small_disk / name
    data.write_csv(source, 100)
    sync(bin_dir, source, f"{small_disk}/{name}")
    before = files_below(small_disk)
    data.write_csv(source, 40_000)
    fill(small_disk, free)
    result, said = sync(bin_dir, source, f"{small_disk}/{name}", expect=1)
    assert (result["code"], result["errorKind"]) == (1, "transient")
    assert "free some space" in said and str(small_disk) in said
    (small_disk / "filler").unlink()
    assert files_below(small_disk) == before, "something is left that nobody asked for"
    assert rows_of(target) == list(range(1, 101))
    sync(bin_dir, source, f"{small_disk}/{name}")
    assert rows_of(target) == list(range(1, 40_001))


@pytest.mark.parametrize("mode", [["full"], ["full_append"], ["incremental", "--cursor", "id", "--key", "id"]])
@pytest.mark.parametrize("free", [1_500_000, 300_000, 200_000, 100_000])
def test_a_disk_that_the_first_load_fills_keeps_no_log(bin_dir, tmp_path, small_disk, mode, free):
    """Symptom: full.db-wal stayed, as large as the disk: the database could not grow to take the claim from it."""
    source, target = tmp_path / "items.csv", small_disk / "full.db"
    data.write_csv(source, 100_000)
    fill(small_disk, free)
    result, said = sync(bin_dir, source, target, "--mode", *mode, expect=1)
    assert result["errorKind"] == "transient" and "free some space and run again" in said
    # Where not even the claim's tables have a place, no database is left.
    assert files_below(small_disk) == (["filler", "full.db"] if free > 100_000 else ["filler"]), said
    assert os.statvfs(small_disk).f_bavail * 4096 > free - 200_000, "its space is free again"
    (small_disk / "filler").unlink()
    data.write_csv(source, 1000)
    sync(bin_dir, source, target, "--mode", *mode)
    assert rows_of(target) == list(range(1, 1001))


def test_a_disk_without_space_is_said_at_once_and_keeps_no_empty_database(bin_dir, tmp_path, small_disk):
    """Symptom: 30 seconds of silence, as if a full disk were a lock, and an empty file that stayed."""
    source = tmp_path / "items.csv"
    data.write_csv(source, 100)
    fill(small_disk, 0)
    result, said = sync(bin_dir, source, small_disk / "z.db", expect=1)
    assert result["errorKind"] == "transient" and "the disk is full; free some space" in said
    assert "waiting" not in said, "it is no lock"
    assert files_below(small_disk) == ["filler"]


def test_a_full_disk_under_the_control_store_is_said_and_passes(make_server, small_disk):
    server = make_server(data_dir=small_disk / "data")
    data.write_csv(server.files / "items.csv", 10)
    ids = server.csv_to_sqlite()
    job = server.create_job("first", ids)
    fill(small_disk, 0)
    answers = [server.request("PATCH", f"/api/workspaces/default/sync-jobs/{job['id']}", {"description": "x" * 900})
               for _ in range(200)]
    refused = [a for a in answers if not a.ok]
    assert refused, "the store wrote without a disk"
    assert {a.status_code for a in refused} == {503}, refused[0].text
    assert "is full" in refused[0].text and "free some space" in refused[0].text
    not_ready = requests.get(server.url + "/readyz", timeout=30)
    assert not_ready.status_code == 503 and "is full" in not_ready.text
    assert server.process.poll() is None
    (small_disk / "filler").unlink()
    wait_for(lambda: requests.get(server.url + "/readyz", timeout=30).status_code == 200, "ready again")
    assert server.wait_run(server.run_now(job["id"]))["state"] == "succeeded"
    assert data.ids(server.files / "out.db") == list(range(1, 11))


def test_a_store_deleted_under_the_server_takes_no_more_writes(make_server):
    """Seen here: it went on, acknowledged and lost, and a second server led beside it."""
    server = make_server()
    job = server.create_job("kept", server.csv_to_sqlite())
    for file in server.data_dir.glob("tidegate.db*"):
        file.unlink()
    refused = server.request("PATCH", f"/api/workspaces/default/sync-jobs/{job['id']}", {"description": "lost"})
    assert refused.status_code == 503 and "start it again" in refused.json()["error"], refused.text
    assert refused.json()["code"] == "store_replaced"
    not_ready = requests.get(server.url + "/readyz", timeout=30)
    assert not_ready.status_code == 503 and not_ready.json()["code"] == "store_replaced"
    assert server.log_text().count("was deleted, moved or replaced") >= 1
    server.stop()
    assert make_server(data_dir=server.data_dir).api("GET", "/sync-jobs") == []


@pytest.mark.parametrize("name", ["out.db", "out/"])
def test_a_read_only_destination_is_a_question_of_permission(bin_dir, tmp_path, own_mounts, name):
    source, folder = tmp_path / "items.csv", tmp_path / "target"
    folder.mkdir()
    data.write_csv(source, 10)
    sync(bin_dir, source, f"{folder}/{name}")
    data.write_csv(source, 20)
    with read_only(folder):
        result, said = sync(bin_dir, source, f"{folder}/{name}", expect=1)
        assert result["errorKind"] == "permission", said
        assert "write access" in said and str(folder) in said
    assert rows_of(folder / name) == list(range(1, 11))
    sync(bin_dir, source, f"{folder}/{name}")
    assert rows_of(folder / name) == list(range(1, 21))


@pytest.mark.parametrize("at, says", [(0, "is not an SQLite database"), (20_000, "is damaged")])
def test_a_damaged_destination_is_named_with_the_remedy(bin_dir, tmp_path, at, says):
    source, target = tmp_path / "items.csv", tmp_path / "out.db"
    data.write_csv(source, 20_000)
    sync(bin_dir, source, target)
    with open(target, "r+b") as f:
        f.seek(at)
        f.write(b"\xa5" * 60_000)
    before = target.read_bytes()
    _, said = sync(bin_dir, source, target, expect=2)
    assert says in said and str(target) in said
    assert target.read_bytes() == before


def test_a_destination_locked_for_the_whole_run_is_transient(bin_dir, tmp_path):
    source, target = tmp_path / "items.csv", tmp_path / "out.db"
    data.write_csv(source, 10)
    sync(bin_dir, source, target)
    data.write_csv(source, 20)
    with closing(sqlite3.connect(target, isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        result, said = sync(bin_dir, source, target, expect=1)
        assert (result["code"], result["errorKind"]) == (1, "transient")
        assert f"'{target}' is locked by another program; waiting up to 30 s" in said
        assert "let that program finish and run again" in said
        holder.execute("rollback")
    sync(bin_dir, source, target)
    assert rows_of(target) == list(range(1, 21))


def test_a_killed_server_leaves_nothing_in_shared_memory(make_server):
    """Symptom: /dev/shm/mongoc-PID stayed for good, and a later process of that number complained on stderr."""
    server = make_server()
    pid = server.process.pid
    server.kill()
    assert not [f.name for f in Path("/dev/shm").iterdir() if f.name.endswith(f"-{pid % 65536}")]


def test_a_missing_engine_fails_the_run_and_not_the_server(make_server):
    server = make_server()
    data.write_csv(server.files / "items.csv", 5)
    job = server.create_job("j", server.csv_to_sqlite(), retry={"maxAttempts": 1})
    server.stop()
    broken = make_server(ready=False, data_dir=server.data_dir, env={"TIDEGATE_ENGINE": "/no/such/engine"})
    wait_for(lambda: "/no/such/engine" in broken.readyz()[1], "it says why it is not ready")
    refused = broken.api("POST", "/data-sources", {"name": "x", "type": "sqlite", "config": {"path": "x.db"}}, expect=503)
    assert "/no/such/engine" in refused.json()["error"] and "install tidegate-sync" in refused.json()["error"]
    run = broken.wait_run(broken.run_now(job["id"]))
    assert run["state"] == "failed" and "/no/such/engine" in run["error"], run
    assert broken.process.poll() is None
    broken.stop()
    mended = make_server(data_dir=broken.data_dir)
    assert mended.wait_run(mended.run_now(job["id"]))["state"] == "succeeded"


@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_a_server_without_its_engine_is_not_ready(make_server, bin_dir, tmp_path, command):
    """Seen here: /readyz was 200, and every run and every check of a connection failed."""
    engine = tmp_path / "engine"
    server = make_server(ready=False, command=command, args=("--engine", str(engine)))

    def says(status, *words):
        code, text = server.readyz()
        return code == status and all(w in text for w in words)
    wait_for(lambda: says(503, '"not_ready"', str(engine), "install tidegate-sync"), "it says that the engine is missing")
    assert requests.get(server.url + "/healthz", timeout=30).status_code == 200
    engine.symlink_to(bin_dir / "tidegate-sync")
    wait_for(lambda: says(200), "it is ready once the engine is there")
    engine.unlink()
    engine.write_text("not executable")
    wait_for(lambda: says(503, str(engine), "chmod"), "it sees that the engine has gone")
    assert server.process.poll() is None


CSV = [  # name, bytes, rows that arrive, rejected rows, what the reason says
    ("ragged", b"id,v\n1,a\n2\n3,c,d\n4,e\n", [(1, "a"), (4, "e")], 2, "instead of 2"),
    ("not utf-8", b"id,v\n1,a\n2,\xff\n", [(1, "a")], 1, "UTF-8"),
    ("a NUL", b"id,v\n1,a\n2,b\0c\n", [(1, "a")], 1, "NUL"),
    ("open quote", b'id,v\n1,a\n2,"b\n3,c\n', [(1, "a"), (3, "c")], 1, "quote"),
    ("BOM and CRLF", b"\xef\xbb\xbfid,v\r\n1,a\r\n2,b\r\n", [(1, "a"), (2, "b")], 0, ""),
    ("quotes", b'id,v\n1,"a ""b"", c"\n2,""\n3,\n', [(1, 'a "b", c'), (2, ""), (3, None)], 0, ""),
    ("line ends in fields", b'id,v\n1,"a\nb"\n2,"c\r\nd"\n', [(1, "a\nb"), (2, "c\r\nd")], 0, ""),
    ("no last line end", b"id,v\n1,a", [(1, "a")], 0, ""),
    ("header only", b"id,v\n", [], 0, ""),
]


@pytest.mark.parametrize("content, rows, rejected, reason", [c[1:] for c in CSV], ids=[c[0] for c in CSV])
def test_odd_csv_arrives_or_is_rejected_with_reason(bin_dir, tmp_path, content, rows, rejected, reason):
    source, target = tmp_path / "t.csv", tmp_path / "out.db"
    source.write_bytes(content)
    if rejected:
        result, said = sync(bin_dir, source, target, expect=1)
        assert result["errorKind"] == "data" and "maxRejected" in said and reason in said
        assert data.query(target, "select * from t") == []
    result, _ = sync(bin_dir, source, target, "--max-rejected", rejected)
    assert [result["entities"][0][k] for k in ("rowsWritten", "rowsRejected")] == [len(rows), rejected]
    assert data.query(target, "select id, v from t order by id") == rows
    kept = data.query(target, "select locator, reason from _tidegate_rejected where reason like '%%'")
    assert all("t.csv line " in locator and reason in why for locator, why in kept) and bool(kept) == bool(rejected)


@pytest.mark.parametrize("content, code, says", [
    (b"a,b,a\n1,2,3\n", 1, "twice"), (b"a,,b\n1,2,3\n", 1, "no name"), (b"", 2, "no column"),
    ("id,v\n1,a\n".encode("utf-16"), 1, "UTF-16")])
def test_csv_without_usable_columns_is_refused(bin_dir, tmp_path, content, code, says):
    (tmp_path / "t.csv").write_bytes(content)
    _, said = sync(bin_dir, tmp_path / "t.csv", tmp_path / "out.db", expect=code)
    assert says in said and "t.csv" in said


def test_checks_that_hang_do_not_stop_the_api(server):
    """Each held a thread of the pool, and there were no more threads than checks: /readyz waited for them."""
    path = server.files / "locked.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    source = server.api("POST", "/data-sources", {"name": "locked", "type": "sqlite", "config": {"path": str(path)}})
    answered = []

    def discover():
        answered.append(server.request("POST", f"/api/workspaces/default/data-sources/{source['id']}/discover").status_code)

    with closing(sqlite3.connect(path, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        callers = [threading.Thread(target=discover) for _ in range(4)]
        for caller in callers:
            caller.start()
        wait_for(lambda: len(children(server.process.pid)) == 4, "four discoveries at work")
        assert requests.get(server.url + "/readyz", timeout=60).status_code == 200
        fifth = server.request("POST", f"/api/workspaces/default/data-sources/{source['id']}/check")
        assert fifth.status_code == 429 and "try again" in fifth.text
        assert answered == [], "the four were over before"
        lock.execute("ROLLBACK")
    for caller in callers:
        caller.join()
    assert len(answered) == 4


# Seen here: SIGTERM waited up to 120 s for a discovery that somebody had asked for.
def test_a_server_that_stops_does_not_wait_for_a_discovery(make_server, bin_dir, tmp_path):
    asked = tmp_path / "asked"
    engine = tmp_path / "engine"
    engine.write_text(f"""#!/bin/sh
read -r line <&3
case "$line" in *discover*) : > {asked}; sleep 1000 ;; esac
printf '%s\\n' "$line" | {bin_dir}/tidegate-sync 3<&0
""")
    engine.chmod(0o755)
    server = make_server(args=("--engine", str(engine)))
    source = server.api("POST", "/data-sources", {"name": "s", "type": "file", "config": {"path": "a.csv"}})["id"]
    answers = []
    client = threading.Thread(target=lambda: answers.append(
        server.request("POST", f"/api/workspaces/default/data-sources/{source}/discover").status_code))
    client.start()
    wait_for(asked.exists, "the engine is asked")
    server.stop()  # fails after half the limit of a discovery
    client.join()
    assert answers == [503]
