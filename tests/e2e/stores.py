"""The stores under test: SQLite, PostgreSQL, MongoDB (SecantusDB), and a MongoDB that is no replica set.

A server is started once a session, by the functions of tools/with_postgres, tools/with_mongo and tools/with_mysql, and each test has a
database of its own on it. Tests run one after the other, so one may kill the server, if it starts it again.
"""
import collections
import importlib.machinery
import importlib.util
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import uuid
from contextlib import closing
from pathlib import Path

import pymongo

import wire
from harness import wait_for

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"


def tool(name):
    loader = importlib.machinery.SourceFileLoader(name, str(TOOLS / name))
    spec = importlib.util.spec_from_loader(name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        try:
            for task in Path(f"/proc/{todo.pop()}/task").iterdir():
                todo += (below := [int(p) for p in (task / "children").read_text().split()])
                found += below
        except OSError:
            pass
    return found


def state_of(pid):
    """The letter of /proc/PID/stat; Z, too, for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


class Server:
    """One database server on one port and folder for all its life."""

    def __init__(self, folder):
        self.folder, self.process, self.port = Path(folder), None, None

    @property
    def address(self):
        return "127.0.0.1", self.port

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9 of all its processes; its port and data stay."""
        pids = [self.process.pid, *descendants(self.process.pid)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_for(lambda: all(state_of(p) == "Z" for p in pids[1:]),
                 "its processes are gone")

    def stop(self):
        if self.running():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer(Server):
    def __init__(self, folder):
        super().__init__(folder)
        self.tool = tool("with_postgres")
        self.bin = self.tool.programs()
        self.folder.mkdir()
        self.tool.create(self.bin, self.folder)

    def start(self):
        for _ in range(self.tool.TRIES):
            port = self.port or self.tool.free_port()
            self.process = self.tool.start(self.bin, self.folder, port, durable=False)
            if self.tool.wait_until_ready(self.bin, self.process, port):
                self.port = port
                return self
            self.process.kill()
            self.process.wait()
        raise AssertionError("PostgreSQL does not start: " + (self.folder / "log").read_text()[-2000:])

    def url(self, database, user=None, address=None):
        host, port = address or self.address
        return f"postgres://{user or f'{self.tool.USER}:{self.tool.PASSWORD}'}@{host}:{port}/{database}"

    def sql(self, text, database="postgres"):
        """Rows of texts."""
        lines = self._ask("psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text, self.url(database))
        return [line.split("\t") for line in lines]

    def dump(self, database):
        """In lines of SQL: schema, privileges and rows."""
        return self._ask("pg_dump", "--inserts", self.url(database))

    def _ask(self, program, *args):
        done = subprocess.run([self.bin / program, *args], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


class MysqlServer(Server):
    """No store: what the engine's MySQL connector reads and writes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.tool = tool("with_mysql")
        self.folder.mkdir()
        self.tool.create(self.folder)

    def start(self):
        for _ in range(self.tool.TRIES):
            first = self.port is None
            port = self.port or self.tool.free_port()
            self.process = self.tool.start(self.folder, port, durable=False)
            if self.tool.wait_until_ready(self.process, port):
                self.port = port
                if first:
                    self.tool.allow(self.folder)
                return self
            self.process.kill()
            self.process.wait()
        raise AssertionError("MariaDB does not start: " + (self.folder / "log").read_text()[-2000:])

    def url(self, database, user=None):
        return f"mysql://{user or f'{self.tool.USER}:{self.tool.PASSWORD}'}@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="tidegate"):
        """Rows of texts."""
        done = subprocess.run([self.tool.program("mariadb"), "--no-defaults", "-h", "127.0.0.1", "-P", str(self.port), "-u", self.tool.USER,
                               f"-p{self.tool.PASSWORD}", "-BN", "--default-character-set=utf8mb4", "-e", text, database],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]


class MongoServer(Server):
    def __init__(self, folder, *options):
        super().__init__(folder)
        # Without it a kill -9 loses what was acknowledged. In memory it costs nothing.
        self.tool, self.options = tool("with_mongo"), ("--sync-on-commit", *options)
        self.folder.mkdir()

    def start(self):
        program = self.tool.find_program()
        self.process, self.port = self.tool.start(program, self.folder, "data", *self.options, port=self.port)
        self.tool.wait_for(self.process, self.port, self.folder / "data.log")
        return self

    def url(self, database, user=None, address=None):
        host, port = address or self.address
        # Directly: a driver that learned the server's own address from it would go round a proxy.
        return f"mongodb://{f'{user}@' if user else ''}{host}:{port}/{database}?directConnection=true"

    def client(self):
        return pymongo.MongoClient(self.url(""), serverSelectionTimeoutMS=30_000)


class Store:
    """One database. `server` is None for SQLite; `push`: changes are pushed, not polled."""

    def __init__(self, kind, server, url, push=True):
        self.kind, self.server, self.url, self.push = kind, server, url, push

    conversation = wire.Raw

    # Each kind has:
    #   leader()         (owner, fence) of the scheduler lock; None: nobody was it yet
    #   run_owners()     who holds how many runs: {owner: rows of job_execution_locks}
    #   slots_of_runs()  (job, slot) of each run that has one
    #   dump()           schema and rows, in lines: equal if nothing was written between two of them

    def through(self, proxy):
        return self.server.url(self.name, address=("127.0.0.1", proxy.port))


class SqliteStore(Store):
    def __init__(self, folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / "tidegate.db"
        super().__init__("sqlite", None, f"sqlite://{self.path}")

    def _open(self):
        return sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)

    def _rows(self, sql):
        with closing(self._open()) as db:
            return db.execute(sql).fetchall()

    def leader(self):
        rows = self._rows("SELECT owner, fence FROM worker_locks WHERE id = 'scheduler'")
        return (rows[0][0], int(rows[0][1])) if rows else None

    def run_owners(self):
        return collections.Counter(owner for owner, in self._rows("SELECT owner FROM job_execution_locks"))

    def slots_of_runs(self):
        return self._rows("SELECT job_id, scheduled_for FROM sync_runs WHERE scheduled_for IS NOT NULL")

    def dump(self):
        with closing(self._open()) as db:
            marks = [(name, *db.execute(f"PRAGMA {name}").fetchone()) for name in ("application_id", "user_version")]
            return [str(mark) for mark in marks] + list(db.iterdump())

    def drop(self):
        pass


class PostgresStore(Store):
    conversation = wire.Postgres
    # What a transaction of each kind writes, for traps: words of one of its statements.
    PLAN, CLAIM, FINISH = ["INSERT INTO sync_runs"], ["INSERT INTO job_execution_locks"], ["DELETE FROM job_execution_locks"]

    def __init__(self, server):
        self.name = f"t{uuid.uuid4().hex[:12]}"
        super().__init__("postgres", server, server.url(self.name))
        server.sql(f"CREATE DATABASE {self.name}")

    def leader(self):
        rows = self.server.sql("SELECT owner, fence FROM worker_locks WHERE id = 'scheduler'", self.name)
        return (rows[0][0], int(rows[0][1])) if rows else None

    def run_owners(self):
        return collections.Counter(r[0] for r in self.server.sql("SELECT owner FROM job_execution_locks", self.name))

    def slots_of_runs(self):
        return [tuple(r) for r in self.server.sql(
            "SELECT job_id, scheduled_for FROM sync_runs WHERE scheduled_for IS NOT NULL", self.name)]

    def dump(self):
        # Newer ones fence their output with a word of chance, which is no part of the database.
        return [line for line in self.server.dump(self.name) if not re.match(r"\\(un)?restrict ", line)]

    def drop(self):
        self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


class MongoStore(Store):
    conversation = wire.Mongo
    PLAN, CLAIM, FINISH = ["insert sync_runs"], ["update sync_runs", "'running'"], ["update sync_runs", "'succeeded'"]

    def __init__(self, server, push=True):
        self.name = f"t{uuid.uuid4().hex[:12]}"
        super().__init__("mongo" if push else "standalone", server, server.url(self.name), push)

    def leader(self):
        with self.server.client() as client:
            lock = client[self.name].worker_locks.find_one({"_id": "scheduler"})
        return (lock["owner"], int(lock["fence"])) if lock else None

    def run_owners(self):
        with self.server.client() as client:
            return collections.Counter(lock["owner"] for lock in client[self.name].job_execution_locks.find())

    def slots_of_runs(self):
        with self.server.client() as client:
            return [(r["jobId"], r["slot"]) for r in client[self.name].sync_runs.find({"slot": {"$type": "date"}})]

    def dump(self):
        lines = []
        with self.server.client() as client:
            database = client[self.name]
            for found in sorted(database.list_collections(), key=lambda c: c["name"]):
                name, kind = found["name"], found.get("type")
                lines.append(f"{name}: {kind} {found.get('options')}")
                if kind == "collection" and not name.startswith("system."):
                    lines += [f"{name}: index {k} {v}" for k, v in sorted(database[name].index_information().items())]
                    lines += [f"{name}: {document}" for document in database[name].find().sort("_id")]
        return lines

    def drop(self):
        with self.server.client() as client:
            client.drop_database(self.name)


class Servers:
    """Those of a session, each started when a test first needs it."""

    def __init__(self, folder):
        self.folder, self.started = Path(folder), {}

    def get(self, kind):
        make = {"postgres": lambda f: PostgresServer(f), "mongo": lambda f: MongoServer(f),
                "standalone": lambda f: MongoServer(f, "--standalone"), "mysql": lambda f: MysqlServer(f)}[kind]
        server = self.started.setdefault(kind, None) or make(self.folder / kind)
        self.started[kind] = server
        return server if server.running() else server.start()

    def open(self, kind, folder):
        """A new, empty database."""
        if kind == "sqlite":
            return SqliteStore(folder)
        server = self.get(kind)
        return PostgresStore(server) if kind == "postgres" else MongoStore(server, push=kind == "mongo")

    def stop(self):
        for server in self.started.values():
            if server:
                server.stop()
