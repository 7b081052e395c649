"""MongoDB as a destination and a source, through the programs: files arrive whole, a looping reader never sees a part, who is
killed loses and doubles nothing, and no secret of the URL is shown."""
import os
import signal
import sqlite3
import threading

import pymongo.errors
import pytest

from harness import wait_for
from stores import MongoServer, descendants
from test_cli_local import run

ROWS = 400  # SecantusDB is slow beyond


@pytest.fixture
def house(store_servers):
    server = store_servers.get("mongo")
    name = f"house{os.urandom(6).hex()}"
    with server.client() as client:
        yield server.url(name), client[name]
        client.drop_database(name)


def write_csv(path, rows):
    path.write_text("id,name,at\n" + "".join(f"{i},n{i},2026-01-31T09:00:00.{i:06}Z\n" for i in range(1, rows + 1)))


def test_files_become_collections_and_a_reader_never_sees_a_part(bin_dir, house, tmp_path):
    url, database = house
    write_csv(tmp_path / "t.csv", ROWS)
    run(bin_dir, "sync", "t.csv", url, "--key", "id", cwd=tmp_path)
    assert database.t.find_one({"_id": 7}) == {"_id": 7, "id": 7, "name": "n7", "at": "2026-01-31T09:00:00.000007Z"}
    database.t.create_index("name", unique=True)
    write_csv(tmp_path / "t.csv", ROWS + 5)
    seen, stop = set(), threading.Event()

    def look():
        while not stop.is_set():
            try:
                seen.add(len(list(database.t.find())))
            except pymongo.errors.OperationFailure:
                pass  # it was open while the collection was replaced

    reader = threading.Thread(target=look)
    reader.start()
    try:
        run(bin_dir, "sync", "t.csv", url, "--key", "id", cwd=tmp_path)
    finally:
        stop.set()
        reader.join()
    assert seen <= {ROWS, ROWS + 5}, seen
    assert "name_1" in database.t.index_information()
    assert [n for n in database.list_collection_names() if n.startswith("_tidegate_stage_")] == []


def test_collections_become_tables(bin_dir, house, tmp_path):
    url, database = house
    database.orders.insert_many([{"_id": i, "v": i / 2, "deep": {"a": [i]}} for i in range(1, 21)])
    run(bin_dir, "sync", url, "out.db", "orders", "--incremental", "--cursor", "_id", cwd=tmp_path)
    database.orders.insert_one({"_id": 21, "v": 1.0, "deep": None})
    run(bin_dir, "sync", url, "out.db", "orders", "--incremental", "--cursor", "_id", cwd=tmp_path)
    with sqlite3.connect(tmp_path / "out.db") as db:
        assert db.execute("SELECT count(*), sum(_id), sum(v) FROM orders").fetchone() == (21, 231, 106.0)
        assert db.execute("SELECT deep FROM orders WHERE _id = 3").fetchone() == ('{"a":[3]}',)


def test_a_killed_child_loses_and_doubles_nothing(make_server, house):
    url, database = house
    server = make_server()
    write_csv(server.files / "t.csv", ROWS)
    source = server.api("POST", "/data-sources", {"name": "files", "type": "file", "config": {"path": str(server.files / "t.csv")}})
    target = server.api("POST", "/destinations", {"name": "house", "type": "mongodb", "config": {"url": url}})
    job = server.create_job("t", (source["id"], target["id"]), syncMode="incremental",
                            entities={"t": {"cursor": "id", "primaryKey": ["id"]}},
                            retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    for n in range(3):
        write_csv(server.files / "t.csv", ROWS + n)
        run_id = server.run_now(job["id"])
        wait_for(lambda: descendants(server.process.pid) or server.api("GET", f"/runs/{run_id}")["state"] not in ("queued", "running"),
                 "there is a child, or the run is over")
        for pid in descendants(server.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was quicker
        assert server.wait_run(run_id)["state"] == "succeeded"
        assert sorted(d["_id"] for d in database.t.find()) == list(range(1, ROWS + n + 1))


def test_no_error_shows_the_password(bin_dir, tmp_path):
    (tmp_path / "t.csv").write_text("id\n1\n")
    for url, code in (("mongodb://ada:canary-7@127.0.0.1:1/db?serverSelectionTimeoutMS=300", 1), ("mongodb://ada:canary-7@h/db?tlss=true", 2)):
        done = run(bin_dir, "sync", "t.csv", url, cwd=tmp_path, expect=code)
        assert "canary-7" not in done.stdout + done.stderr


def test_a_right_that_is_missing_is_told_with_the_role_that_has_it(bin_dir, tmp_path):
    server = MongoServer(tmp_path / "server").start()
    try:
        with server.client() as client:
            client.shop.t.insert_one({"_id": 1})
            client.shop.command("createUser", "reader", pwd="p", roles=["read"])
            client.shop.command("createUser", "nobody", pwd="p", roles=[])
        server.kill()
        server.options = (*server.options, "--auth")
        server.start()
        (tmp_path / "s.csv").write_text("id\n1\n")
        run(bin_dir, "sync", server.url("shop", "reader:p") + "&authSource=shop", "out.db", "t", cwd=tmp_path)
        for user, args in (("reader", ("s.csv", "URL")), ("nobody", ("URL", "o.db")), ("nobody", ("s.csv", "URL"))):
            url = server.url("shop", f"{user}:p") + "&authSource=shop"
            said = run(bin_dir, "sync", *(url if a == "URL" else a for a in args), cwd=tmp_path, expect=1).stderr
            assert "not authorized on shop" in said and "give the user the role readWrite (destination) or read (source)" in said
    finally:
        server.stop()


# Seen by a new user: ObjectIds became texts, and with --columns every other field was gone.
def test_a_collection_is_not_written_into_itself(bin_dir, house, tmp_path):
    url, database = house
    database.u.insert_many([{"_id": i, "n": i, "more": "kept"} for i in range(3)])
    before = list(database.u.find())
    for destination in (url, url.replace("127.0.0.1", "localhost")):
        failed = run(bin_dir, "sync", url, destination, "u", "--columns", "_id", "--take-over", cwd=tmp_path, expect=2)
        assert "would write into what it reads" in failed.stdout + failed.stderr
    assert list(database.u.find()) == before
