"""What is wrong with a store is said at the start in one message, with exit code 2, and nothing is written."""
import os
import re
import socket
import sqlite3
import struct
import subprocess
import threading
import uuid
from contextlib import closing, contextmanager

import bson
import pymongo
import pytest

from cluster import SECRET_KEY, TOKEN, Jobs
from harness import wait_for
from stores import MongoServer

COMMANDS = ["serve", "api", "worker"]
served = pytest.mark.parametrize("store", ["postgres", "mongo"], indirect=True)


def refused(bin_dir, folder, url, command="serve", secret_key=SECRET_KEY):
    """The message of a server that must not start."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    env |= {"TIDEGATE_STORE": url, "TIDEGATE_SECRET_KEY": secret_key, "TIDEGATE_ADMIN_TOKEN": TOKEN}
    done = subprocess.run([bin_dir / "tidegate", command, "--data", folder / f"data-{command}", "--listen", "127.0.0.1:0"],
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@contextmanager
def untouched(store):
    """Nobody writes to the store meanwhile: its servers must have been stopped."""
    before = store.dump()
    yield
    assert store.dump() == before


@served
@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_schema_is_left_alone(bin_dir, cluster, store, tmp_path, command):
    cluster.api().stop()
    if store.kind == "postgres":
        store.server.sql("INSERT INTO schema_migrations VALUES (999, 'of the future', now())", store.name)
    else:
        with store.server.client() as client:
            client[store.name].schema_migrations.insert_one({"_id": 999, "name": "of the future"})
    with untouched(store):
        said = refused(bin_dir, tmp_path, store.url, command)
    assert "999" in said and "newer" in said, said


@served
def test_a_database_of_something_else_is_left_alone(bin_dir, store, tmp_path):
    if store.kind == "postgres":
        store.server.sql("CREATE TABLE sync_jobs (id int)", store.name)
    else:
        with store.server.client() as client:
            client[store.name].customers.insert_one({"name": "Ada"})
    with untouched(store):
        said = refused(bin_dir, tmp_path, store.url)
    assert "database" in said and store.name in said, said


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
@pytest.mark.parametrize("user, database, says", [
    ("tidegate:wrong-secret", None, "password"), ("nobody:wrong-secret", None, "nobody"), (None, "nowhere", "nowhere")])
def test_wrong_credentials_or_database_of_postgres(bin_dir, store, tmp_path, user, database, says):
    said = refused(bin_dir, tmp_path, store.server.url(database or store.name, user))
    assert says in said and "wrong-secret" not in said and "tidegate-test" not in said, said


def test_wrong_credentials_of_mongodb(bin_dir, tmp_path):
    server = MongoServer(tmp_path / "server")
    try:
        server.start()
        with server.client() as client:
            client.admin.command("createUser", "ada", pwd="right-secret", roles=[{"role": "root", "db": "admin"}])
        server.kill()
        server.options += ("--auth",)
        server.start()
        url = server.url("tidegate", "ada:wrong-secret") + "&authSource=admin"
        with pytest.raises(pymongo.errors.OperationFailure), pymongo.MongoClient(url) as client:
            client.tidegate.list_collection_names()
        said = refused(bin_dir, tmp_path, url)
        assert "authSource" in said and "wrong-secret" not in said, said
    finally:
        server.stop()


@pytest.mark.parametrize("store", ["sqlite", "postgres", "mongo"], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_another_secret_key_than_the_others_have(bin_dir, cluster, store, tmp_path, command):
    cluster.start("serve").stop()
    with untouched(store):
        said = refused(bin_dir, tmp_path, store.url, command, secret_key="a5" * 32)
    assert "secret" in said and "a5a5" not in said, said


# Seen: it was migrated first, and the servers that have its key were too old for it then.
@pytest.mark.parametrize("store", ["sqlite", "postgres", "mongo"], indirect=True)
def test_another_secret_key_migrates_nothing(bin_dir, cluster, store, tmp_path):
    cluster.start("serve").stop()
    older(store)
    with untouched(store):
        said = refused(bin_dir, tmp_path, store.url, secret_key="a5" * 32)
    assert "sealed with the key" in said, said


# Seen: what was missing was made first.
@pytest.mark.parametrize("store", ["mongo"], indirect=True)
def test_another_secret_key_mends_nothing(bin_dir, cluster, store, tmp_path):
    cluster.start("serve").stop()
    with store.server.client() as client:
        client[store.name].workers.drop()
    with untouched(store):
        said = refused(bin_dir, tmp_path, store.url, secret_key="a5" * 32)
    assert "sealed with the key" in said, said


def older(store):
    """As a binary of the version before has left it: its newest migration is not there."""
    newest = "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)"
    if store.kind == "sqlite":
        with closing(sqlite3.connect(store.path)) as db, db:
            db.execute(newest)
    elif store.kind == "postgres":
        store.server.sql(newest, store.name)
    else:
        with store.server.client() as client:
            client[store.name].schema_migrations.find_one_and_delete({}, sort=[("_id", -1)])


@pytest.fixture
def role(store):
    """A user of PostgreSQL who may do nothing: its name and password, as in a URL."""
    name = f"r{uuid.uuid4().hex[:12]}"
    store.server.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'role-secret'")
    # Of old databases everybody may write to the schema public.
    store.server.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC", store.name)
    yield name
    store.server.sql(f"DROP OWNED BY {name}", store.name)
    store.server.sql(f"DROP ROLE {name}")


def denied(bin_dir, folder, store, role, command):
    """The privileges that are named as missing; and nothing was written."""
    with untouched(store):
        said = refused(bin_dir, folder, store.server.url(store.name, f"{role}:role-secret"), command)
    assert role in said and "GRANT " in said and "role-secret" not in said, said
    return set(re.search(r"what the store needs: (.*?);", said)[1].split(", "))


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_missing_privilege_is_named(bin_dir, cluster, store, tmp_path, role, command):
    def grant(text):
        store.server.sql(f"GRANT {text} TO {role}", store.name)

    assert denied(bin_dir, tmp_path, store, role, command) == {"USAGE ON SCHEMA public", "CREATE ON SCHEMA public"}
    grant("USAGE ON SCHEMA public")
    assert denied(bin_dir, tmp_path, store, role, command) == {"CREATE ON SCHEMA public"}
    cluster.api().stop()
    # Who does not make the tables needs no CREATE.
    relations = store.server.sql("SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                                 "AND relkind IN ('r', 'v')", store.name)
    needed = {f"{p} ON {name}" for name, kind in relations
              for p in (("SELECT", "INSERT", "UPDATE", "DELETE") if kind == "r" else ("SELECT",))}
    assert len(needed) > 50 and denied(bin_dir, tmp_path, store, role, command) == needed
    grant("SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public")
    store.server.sql(f"REVOKE INSERT ON run_logs FROM {role}; REVOKE DELETE ON run_queue FROM {role}", store.name)
    assert denied(bin_dir, tmp_path, store, role, command) == {"INSERT ON run_logs", "DELETE ON run_queue"}
    grant("INSERT ON run_logs")
    grant("DELETE ON run_queue")
    cluster.start(command, url=store.server.url(store.name, f"{role}:role-secret"))


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
@pytest.mark.parametrize("lost", ["UPDATE ON sync_runs", "DELETE ON job_execution_locks"])
def test_a_privilege_that_is_taken_away_is_told_and_costs_nothing(cluster, store, role, lost):
    """Seen: /readyz stayed 200 while no run could be begun or ended."""
    api = cluster.api()
    store.server.sql(f"GRANT USAGE ON SCHEMA public TO {role}; "
                     f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}", store.name)
    worker = cluster.worker(url=store.server.url(store.name, f"{role}:role-secret"))
    jobs = Jobs(api, 2)
    wait_for(lambda: all(api.api("GET", f"/sync-jobs/{j}/history?limit=5") for j in jobs.ids), "runs")
    store.server.sql(f"REVOKE {lost} FROM {role}", store.name)
    code, why = wait_for(lambda: (said := worker.readyz())[0] == 503 and said, "the worker says that it can do nothing")
    assert "permission denied" in why and f"give user {role}" in why and "role-secret" not in why, why
    store.server.sql(f"GRANT {lost} TO {role}", store.name)
    worker.wait_ready()
    jobs.check(store)


class OldServer:
    """Says no more than a server must to be asked its version."""

    def __init__(self, greet):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.greet = self.listener.getsockname()[1], greet
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(self.greet(data))
            except OSError:
                pass


def postgres_12(data):
    if data[4:8] == struct.pack("!i", 80877103):
        return b"N"  # no TLS

    def message(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    ready = message(b"Z", b"I")
    if data[4:8] == struct.pack("!i", 196608):
        return message(b"R", struct.pack("!i", 0)) + message(b"S", b"server_version\0" b"12.9\0") + ready
    return message(b"C", b"SET\0") + ready


def mongodb_4_4(data):
    hello = {"ok": 1.0, "ismaster": True, "isWritablePrimary": True, "maxWireVersion": 9, "minWireVersion": 0,
             "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}
    number, kind = struct.unpack("<i", data[4:8])[0], struct.unpack("<i", data[12:16])[0]
    body = bson.encode(hello)
    head = b"\0" * 5 if kind == 2013 else struct.pack("<iqii", 8, 0, 0, 1)  # OP_MSG, else OP_REPLY
    return struct.pack("<iiii", 16 + len(head) + len(body), 1, number, 2013 if kind == 2013 else 1) + head + body


@pytest.mark.parametrize("greet, url, says", [
    (postgres_12, "postgres://tidegate@127.0.0.1:{}/tidegate", "PostgreSQL 13"),
    (mongodb_4_4, "mongodb://127.0.0.1:{}/tidegate", "MongoDB 5.0")], ids=["postgres", "mongo"])
def test_too_old_a_server_is_named(bin_dir, tmp_path, greet, url, says):
    server = OldServer(greet)
    said = refused(bin_dir, tmp_path, url.format(server.port))
    server.listener.close()
    assert says in said, said
