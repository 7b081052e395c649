"""PostgreSQL as a source: a job of a server and the command line copy its tables, incremental runs copy what is new, and
whoever is killed on the way loses and doubles nothing."""
import json
import os
import signal
import subprocess

import pytest

import data
from harness import wait_for
from test_cli_local import run

ROWS = 60_000


@pytest.fixture
def shop(store_servers):
    """A database of its own with the tables orders and sales.regions: its server and its name."""
    server = store_servers.get("postgres")
    name = f"shop{os.urandom(6).hex()}"
    server.sql(f"CREATE DATABASE {name}")
    server.sql("CREATE TABLE orders (id bigint PRIMARY KEY, amount numeric(12,2), at timestamptz NOT NULL, note text, doc jsonb); "
               "CREATE SCHEMA sales; CREATE TABLE sales.regions (name text); INSERT INTO sales.regions VALUES ('north'), (NULL)", name)
    fill(server, name, 1, ROWS)
    yield server, name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def fill(server, name, first, last):
    server.sql(f"INSERT INTO orders SELECT i, i + 0.25, timestamptz '2026-01-01 00:00+00' + i * interval '1.000001 seconds', "
               f"'n' || i, jsonb_build_object('i', i) FROM generate_series({first}, {last}) i", name)


def rows(database):
    return data.query(database, "SELECT count(*), count(DISTINCT id), sum(id) FROM orders")


def total(last):
    return [(last, last, last * (last + 1) // 2)]


def test_the_command_line_copies_and_goes_on(bin_dir, shop, tmp_path):
    server, name = shop
    url = server.url(name).replace("tidegate-test", "${PASS}")
    args = ["sync", url, "out.db", "--incremental", "--cursor", "at", "orders"]
    done = run(bin_dir, *args, cwd=tmp_path, env={"PASS": "tidegate-test"})
    assert "tidegate-test" not in done.stdout + done.stderr
    assert rows(tmp_path / "out.db") == total(ROWS)
    assert data.query(tmp_path / "out.db", "SELECT amount, at, note, doc FROM orders WHERE id = 7") == [
        ("7.25", "2026-01-01 00:00:07.000007+00:00", "n7", '{"i": 7}')]
    fill(server, name, ROWS + 1, ROWS + 10)
    result = json.loads(run(bin_dir, *args, cwd=tmp_path, env={"PASS": "tidegate-test"}).stdout.splitlines()[-1])
    assert result["entities"][0]["rowsWritten"] == 10
    assert rows(tmp_path / "out.db") == total(ROWS + 10)


def test_a_job_copies_every_schema_and_shows_no_secret(make_server, shop):
    database, name = shop
    server = make_server()
    made = server.api("POST", "/data-sources", {"name": "shop", "type": "postgres", "config": {"url": database.url(name)}})
    assert made["config"]["url"] == "***"
    assert server.api("POST", f"/data-sources/{made['id']}/check")["ok"]
    found = {e["name"]: e for e in server.api("POST", f"/data-sources/{made['id']}/discover")["entities"]}
    assert set(found) == {"orders", "sales.regions"} and found["orders"]["primaryKey"] == ["id"]
    target = server.api("POST", "/destinations", {"name": "db", "type": "sqlite", "config": {"path": str(server.files / "out.db")}})
    job = server.create_job("all", (made["id"], target["id"]))
    assert server.wait_run(server.run_now(job["id"]))["state"] == "succeeded"
    assert rows(server.files / "out.db") == total(ROWS)
    assert data.query(server.files / "out.db", 'SELECT name FROM "sales.regions" ORDER BY 1') == [(None,), ("north",)]
    assert "tidegate-test" not in server.log_text()


def test_a_child_that_is_killed_and_a_server_that_goes_lose_nothing(make_server, shop):
    database, name = shop
    server = make_server()
    source = server.api("POST", "/data-sources", {"name": "shop", "type": "postgres", "config": {"url": database.url(name)}})
    target = server.api("POST", "/destinations", {"name": "db", "type": "sqlite", "config": {"path": str(server.files / "out.db")}})
    job = server.create_job("orders", (source["id"], target["id"]), syncMode="incremental", entityFilter=["orders"],
                            entities={"orders": {"cursor": "at"}}, retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    for n in range(3):
        fill(database, name, ROWS + 1 + 20_000 * n, ROWS + 20_000 * (n + 1))
        run_id = server.run_now(job["id"])
        found = wait_for(lambda: subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout.split()
                         or server.api("GET", f"/runs/{run_id}")["state"] != "queued", "a child, or its end")
        if isinstance(found, list):
            try:
                os.kill(int(found[0]), signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was quicker
        database.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'tidegate-sync'")
        assert server.wait_run(run_id)["state"] == "succeeded"
        assert rows(server.files / "out.db") == total(ROWS + 20_000 * (n + 1))


@pytest.mark.parametrize("change, says", [
    (lambda url: url.replace("tidegate-test", "wrong-secret"), "check user and password"),
    (lambda url: url.rsplit("/", 1)[0] + "/nowhere", "nowhere"),
    (lambda url: url.rsplit("/", 1)[0].rsplit(":", 1)[0] + ":1/x", "cannot be reached"),
    (lambda url: url + "?sslmode=verify-full", "TLS")])
def test_what_is_wrong_is_said_with_its_remedy(bin_dir, shop, tmp_path, change, says):
    server, name = shop
    done = subprocess.run([bin_dir / "tidegate", "sync", change(server.url(name)), "out.db"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode != 0 and says in done.stderr, done.stderr
    assert "wrong-secret" not in done.stdout + done.stderr and "tidegate-test" not in done.stdout + done.stderr
    assert not (tmp_path / "out.db").exists()
