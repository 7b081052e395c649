"""docs/ops/locks.md: each query as it stands there answers, on a store of its kind that a real server keeps busy."""
import datetime
import json
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import pymongo
import pytest

from harness import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = (ROOT / "docs/ops/locks.md").read_text()


def documented(fence, separator):
    """The queries in the blocks of that kind."""
    blocks = re.findall(rf"```{fence}\n(.*?)```", DOCUMENT, re.S)
    return [q.strip() for block in blocks for q in block.split(separator) if q.strip()]


@contextmanager
def database_server(tool, variable):
    """A server of that tool, as its URL."""
    process = subprocess.Popen([ROOT / "tools" / tool, "sh", "-c", f'echo "${variable}"; cat'], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        url = process.stdout.readline().strip()
        assert url, f"{tool} did not start"
        yield url
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@pytest.fixture
def busy(make_server, nycflights, tmp_path):
    """with busy(store's URL) as job: a server leads and runs the job of that id, whose second run waits. It has ended
    before its store does."""

    @contextmanager
    def run(url):
        (tmp_path / "url").write_text(url)
        server = make_server(env={"TIDEGATE_STORE_FILE": str(tmp_path / "url")})
        shutil.copy(nycflights / "airlines.csv", server.files)
        ids = server.csv_to_sqlite("airlines.csv")
        with closing(sqlite3.connect(server.files / "out.db", isolation_level=None)) as lock:
            lock.execute("CREATE TABLE held (x)")
            lock.execute("BEGIN EXCLUSIVE")  # the run cannot end
            job = server.create_job("nightly", ids, schedule={"every": "1s"}, overlap="queue_one")
            wait_for(lambda: {r["state"] for r in server.api("GET", "/runs")} >= {"running", "queued"}, "one runs, one waits")
            yield job["id"]
        server.stop()

    return run


def test_the_queries_for_postgresql(busy):
    with database_server("with_postgres", "TIDEGATE_TEST_POSTGRES") as url, busy(url):
        queries = documented("sql postgres", ";")
        assert len(queries) == 8
        for query in queries:
            done = subprocess.run(["psql", url, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", query], capture_output=True, text=True)
            assert done.returncode == 0, f"{query}\n{done.stderr}"
            # Nobody's lease has run out; everything else has something to show.
            assert bool(done.stdout) == ("expires_at < " not in query), f"{query}\n{done.stdout}"


def from_shell(text):
    """What stands between the parentheses of a call, as Python has it; now is after the end of every lease."""
    def value(v):
        if isinstance(v, dict):
            return {key: value(inner) for key, inner in v.items()}
        return datetime.datetime(2100, 1, 1) if v == "NOW" else v

    text = re.sub(r"([{,]\s*)(\$?\w+):", r'\1"\2":', text)
    return [value(v) for v in json.loads(f"[{text}]")]


def test_the_queries_for_mongodb(busy):
    with database_server("with_mongo", "TIDEGATE_TEST_MONGO") as url:
        url = url.replace("/?", "/documented?")
        queries = documented("js", "\n")
        assert len(queries) == 8
        with busy(url) as job, closing(pymongo.MongoClient(url)) as client:
            for query in queries:
                call = re.fullmatch(r"db\.(\w+)\.find\((.*?)\)(?:\.sort\((.*?)\))?(?:\.limit\((\d+)\))?",
                                    query.replace("new Date()", '"NOW"').replace("01a2…", job))
                found = client.get_default_database()[call[1]].find(*from_shell(call[2]))
                if call[3]:
                    found = found.sort(list(from_shell(call[3])[0].items()))
                documents = list(found)
                assert documents, query
                # A field that is called otherwise by now would be missing in silence; a job that never ended has no error.
                wanted = set(from_shell(call[2])[1]) - {"lastError"} if "}, {" in call[2] else set()
                assert all(wanted <= set(document) for document in documents), f"{query}\n{documents}"


def test_the_queries_for_sqlite(busy, tmp_path):
    queries = documented("sql sqlite", ";")
    assert len(queries) == 7
    with busy(f"sqlite://{tmp_path}/data/tidegate.db"), \
            closing(sqlite3.connect(f"file:{tmp_path}/data/tidegate.db?mode=ro", uri=True)) as db:
        for query in queries:
            assert bool(db.execute(query).fetchall()) == ("expires_at < " not in query), query
