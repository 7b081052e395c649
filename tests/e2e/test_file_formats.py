"""Files as a destination, in each format: readers that are none of ours find every value of a table as it was."""
import base64
import datetime as dt
import json
import os
import signal
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

import data
from harness import wait_for
from stores import descendants
from test_cli_local import run

UTC = dt.timezone.utc
ROWS = 30_000


@pytest.fixture
def shop(store_servers):
    server = store_servers.get("postgres")
    name = f"shop{os.urandom(6).hex()}"
    server.sql(f"CREATE DATABASE {name}")
    yield server, name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def lines(path):
    return [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]


def test_every_type_of_postgresql_is_read_back_by_others(bin_dir, shop, tmp_path):
    server, name = shop
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, small smallint, f4 real, f8 double precision, n numeric(12,2), wide numeric(38,10), "
               "yes boolean, s text, j jsonb, b bytea, d date, clock time, ts timestamp, tz timestamptz, u uuid, a int[]);"
               "INSERT INTO t VALUES (9007199254740993, -32768, 0.1, -1.5e300, 1234567890.10, 1234567890123456789012345678.0123456789, true, "
               "E'a \"b\"\\n, é 😀', '{\"k\": [1, null]}', '\\x00ff', '0001-01-01', '09:00:00.5', '2026-01-31 09:00:00.000001', "
               "'1900-01-01 00:00:00.123456+00', '6e5a1b1c-0000-4000-8000-000000000001', ARRAY[1, NULL]); INSERT INTO t (id) VALUES (1)", name)
    for kind in ("csv", "jsonl", "parquet"):
        run(bin_dir, "sync", server.url(name), f"out/?format={kind}", "t", cwd=tmp_path)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".tidegate", f"t.{kind}"], "of the other format nothing is left"
        if kind == "jsonl":
            seen_lines = lines(tmp_path / "out" / "t.jsonl")
    wanted = {
        "id": 9007199254740993, "small": -32768, "f8": -1.5e300, "n": Decimal("1234567890.10"),
        "wide": Decimal("1234567890123456789012345678.0123456789"), "yes": True, "s": 'a "b"\n, é 😀', "b": b"\x00\xff", "d": dt.date(1, 1, 1),
        "clock": dt.time(9, 0, 0, 500_000), "ts": dt.datetime(2026, 1, 31, 9, 0, 0, 1),
        "tz": dt.datetime(1900, 1, 1, 0, 0, 0, 123_456, UTC), "u": "6e5a1b1c-0000-4000-8000-000000000001"}
    table = pq.read_table(tmp_path / "out" / "t.parquet")
    rows = sorted(table.to_pylist(), key=lambda r: -r["id"])
    assert {k: rows[0][k] for k in wanted} == wanted
    assert json.loads(rows[0]["j"]) == {"k": [1, None]} and json.loads(rows[0]["a"]) == [1, None]
    assert abs(rows[0]["f4"] - 0.1) < 1e-8
    assert all(v is None for k, v in rows[1].items() if k != "id")
    schema = pq.read_schema(tmp_path / "out" / "t.parquet")
    assert str(schema.field("wide").type) == "decimal128(38, 10)" and str(schema.field("tz").type) == "timestamp[us, tz=UTC]"
    assert pq.ParquetFile(tmp_path / "out" / "t.parquet").schema.column(8).logical_type.type == "JSON"

    first = next(r for r in seen_lines if r["id"] != 1)
    assert first == {
        "id": 9007199254740993, "small": -32768, "f4": Decimal("0.1"), "f8": Decimal("-1.5e+300"), "n": Decimal("1234567890.10"),
        "wide": "1234567890123456789012345678.0123456789", "yes": True, "s": 'a "b"\n, é 😀', "j": {"k": [1, None]},
        "b": base64.b64encode(b"\x00\xff").decode(), "d": "0001-01-01", "clock": "09:00:00.500000", "ts": "2026-01-31T09:00:00.000001",
        "tz": "1900-01-01T00:00:00.123456Z", "u": wanted["u"], "a": [1, None]}
    second = next(r for r in seen_lines if r["id"] == 1)
    assert list(second) == list(first) and all(v is None for k, v in second.items() if k != "id")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_appends_over_fewer_columns_and_another_format_is_told(bin_dir, tmp_path, kind):
    append = ("sync", "t.csv", f"out/?format={kind}", "--mode", "incremental_append", "--cursor", "id")
    (tmp_path / "t.csv").write_text("id,v\n1,a\n2,\n")
    run(bin_dir, *append, cwd=tmp_path)
    (tmp_path / "t.csv").write_text("id,v,w\n1,a,\n2,,\n3,b,1.5\n")
    run(bin_dir, *append, "--dry-run", cwd=tmp_path)
    run(bin_dir, *append, cwd=tmp_path)
    file = tmp_path / "out" / f"t.{kind}"
    rows = pq.read_table(file).to_pylist() if kind == "parquet" else lines(file)
    assert [(r["id"], r["v"], r.get("w")) for r in rows] == [(1, "a", None), (2, None, None), (3, "b", 1.5)]
    other = tuple("out/" if a.startswith("out/") else a for a in append)
    (tmp_path / "t.csv").write_text("id,v,w\n3,b,1.5\n4,c,2.5\n")
    said = run(bin_dir, *other, cwd=tmp_path, expect=2).stderr
    assert f"set the format back to {kind}" in said
    assert file.exists() and not (tmp_path / "out" / "t.csv").exists()


def test_a_file_as_destination_says_which_folder_and_format(bin_dir, tmp_path):
    (tmp_path / "t.csv").write_text("id\n1\n")
    assert "'out/?format=parquet'" in run(bin_dir, "sync", "t.csv", "out.parquet", cwd=tmp_path, expect=2).stderr.replace(str(tmp_path) + "/", "")
    assert "csv, jsonl" in run(bin_dir, "sync", "t.csv", "out/?format=xml", cwd=tmp_path, expect=2).stderr
    assert "files and folders alone" in run(bin_dir, "sync", "t.csv", "out.db?format=jsonl", cwd=tmp_path, expect=2).stderr


def test_killed_children_lose_and_double_nothing(make_server):
    server = make_server()
    data.write_csv(server.files / "t.csv", ROWS)
    source = server.api("POST", "/data-sources", {"name": "files", "type": "file", "config": {"path": str(server.files / "t.csv")}})
    target = server.api("POST", "/destinations", {"name": "lake", "type": "file", "config": {"path": str(server.files / "lake"), "format": "parquet"}})
    job = server.create_job("t", (source["id"], target["id"]), syncMode="incremental_append", entities={"t": {"cursor": "id"}},
                            retry={"maxAttempts": 9, "initial": "1s", "max": "1s"})
    rows, bites = ROWS, 0
    for n in range(4):
        if n:
            data.append_csv(server.files / "t.csv", rows + 1, 1000)
            rows += 1000
        run_id = server.run_now(job["id"])
        claim = server.files / "lake" / ".tidegate" / "t" / "claim.json"

        def writes_or_is_done():
            return (claim.exists() and json.loads(claim.read_text())["session"]) or \
                server.api("GET", f"/runs/{run_id}")["state"] not in ("queued", "running")

        wait_for(writes_or_is_done, "the child writes, or is done")
        for pid in descendants(server.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was quicker
        ended = server.wait_run(run_id)
        assert ended["state"] == "succeeded"
        bites += ended["attempt"] > 1
        ids = pq.read_table(server.files / "lake" / "t.parquet", columns=["id"]).column("id").to_pylist()
        assert sorted(ids) == list(range(1, rows + 1))
    assert bites >= 1, "no kill hit a child that was at work"
