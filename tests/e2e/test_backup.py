"""Backups of real stores and what a restore makes of them."""
import collections
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import data
import pytest
from cluster import check_slots
from harness import wait_for
from test_schedule import ledger


def run(bin_dir, *args, expect=0, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    done = subprocess.run([bin_dir / "tidegate", *map(str, args)], env=clean | (env or {}), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def result(done):
    """The last line that a pipe gets."""
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["type"] == "result"
    return line


def records(path):
    """{kind: [record, …]} of a backup."""
    found = collections.defaultdict(list)
    with gzip.open(path, "rt") as lines:
        for line in lines:
            (kind, body), *more = json.loads(line).items()
            if not more:
                found[kind].append(body)
    return found


@pytest.fixture
def history(make_server, tmp_path):
    """A server at work with a job each second, a job by hand, a failed run and a deleted job; and their ids."""
    server = make_server(data_dir=tmp_path / "old")
    data.write_csv(server.files / "items.csv", 10)
    often = server.create_job("often", server.csv_to_sqlite(), schedule={"cron": "* * * * * *"})
    by_hand = server.create_job("by hand", server.csv_to_sqlite(database="hand.db"))
    assert server.wait_run(server.run_now(by_hand["id"]))["state"] == "succeeded"
    broken = server.create_job("broken", server.csv_to_sqlite(path="none*.csv", database="broken.db"),
                               retry={"maxAttempts": 1})
    failed = server.run_now(broken["id"])
    assert server.wait_run(failed)["state"] == "failed"
    gone = server.create_job("gone", server.csv_to_sqlite(database="gone.db"))
    server.wait_run(server.run_now(gone["id"]))
    server.api("DELETE", f"/sync-jobs/{gone['id']}")
    wait_for(lambda: len(server.api("GET", f"/sync-jobs/{often['id']}/history")) >= 3, "three runs")
    return server, often["id"], by_hand["id"], failed


def same_key(old, new):
    new.mkdir(mode=0o700)
    shutil.copy(old / "secret-key", new / "secret-key")
    return new


def test_a_restored_server_knows_all_of_it_and_waits(history, make_server, bin_dir, tmp_path):
    server, often, by_hand, failed = history
    file = tmp_path / "store.tgb"
    made = result(run(bin_dir, "backup", file, "--data", server.data_dir))
    assert made["snapshot"] and made["records"]["job"] == 4
    assert file.stat().st_mode & 0o777 == 0o600
    # The old server went on meanwhile, and dies without a word.
    count = len(ledger(server, often))
    wait_for(lambda: len(ledger(server, often)) >= count + 2, "two more slots")
    log = server.api("GET", f"/runs/{failed}/logs")
    runs = {r["id"]: r for r in records(file)["run"]}
    server.kill()

    new = same_key(server.data_dir, tmp_path / "new")
    restored = result(run(bin_dir, "restore", file, "--data", new))
    assert restored["pausedJobs"] == 3 and restored["missedSlots"] >= 2
    other = make_server(data_dir=new, args=["--paths-roots", str(server.files)])
    for name, job_id in (("often", often), ("by hand", by_hand)):
        job = other.api("GET", f"/sync-jobs/{job_id}")
        assert job["name"] == name and job["status"] == "paused"
        assert job["pause"]["note"].startswith(f"restored from backup of {made['createdAt']}; resume when")
    assert other.api("GET", f"/runs/{failed}/logs") == log
    for run_id, before in runs.items():
        after = other.api("GET", f"/runs/{run_id}")
        if before["state"] in ("queued", "running"):
            assert after["state"] == "cancelled" and after["errorKind"] == "restored"
        else:
            assert after["state"] == before["state"]
    # Slots before, during and after: each has one outcome, and those between are one record.
    wait_for(lambda: "skipped" in str(ledger(other, often)), "a slot that the pause explains")
    entries = [e for e in other.api("GET", f"/sync-jobs/{often}/slots?limit=1000") if e["outcome"] == "missed_restored"]
    assert len(entries) == 1 and entries[0]["count"] == restored["missedSlots"]
    assert "backup" in entries[0]["why"]
    run(bin_dir, "jobs", "resume", "--all", "--data", new)
    assert "paused" not in [j["status"] for j in other.api("GET", "/sync-jobs")]
    wait_for(lambda: "succeeded" in [e["outcome"] for e in other.api("GET", f"/sync-jobs/{often}/slots?limit=3")],
             "it runs again")
    check_slots(other, often)


def test_what_is_not_restored_says_why_and_writes_nothing(history, bin_dir, tmp_path):
    server, *_ = history
    file = tmp_path / "store.tgb"
    run(bin_dir, "backup", file, "--data", server.data_dir)
    assert "exists" in run(bin_dir, "backup", file, "--data", server.data_dir, expect=2).stderr
    run(bin_dir, "backup", file, "--data", server.data_dir, "--force")
    assert "servers work on this store" in run(bin_dir, "restore", file, "--data", server.data_dir, expect=1).stderr
    whole = file.read_bytes()
    empty = tmp_path / "empty"
    for content, text in ((whole[:-20], "damaged"), (b"id,name\n", "no backup of Tidegate")):
        bad = tmp_path / "bad.tgb"
        bad.write_bytes(content)
        assert text in run(bin_dir, "restore", bad, "--data", empty, expect=2).stderr
        assert not (empty / "tidegate.db").exists()
    assert "no store" in run(bin_dir, "backup", tmp_path / "x", "--data", empty, expect=2).stderr
    server.stop()
    assert "not empty" in run(bin_dir, "restore", file, "--data", server.data_dir, expect=2).stderr


# Seen by a new user: a restore that was killed left a store that looked well, and its backup replaced the good one.
def test_a_half_restored_store_is_told_by_all_and_completed_by_the_same_command(history, make_server, bin_dir, tmp_path):
    server, *_ = history
    file = tmp_path / "store.tgb"
    made = result(run(bin_dir, "backup", file, "--data", server.data_dir))
    server.stop()
    new = same_key(server.data_dir, tmp_path / "new")
    run(bin_dir, "restore", file, "--data", new)
    # What a kill in the middle leaves: the lease, and less than all.
    with sqlite3.connect(new / "tidegate.db") as db:
        db.execute("UPDATE worker_locks SET owner = ? WHERE id = 'scheduler'", (f"restore:{made['sha256']}",))
        db.executescript("DELETE FROM sync_jobs; DELETE FROM job_revisions;")
    refused = run(bin_dir, "backup", file, "--force", "--data", new, expect=2).stderr
    assert "repeat the same `tidegate restore`" in refused
    assert len(records(file)["job"]) == 4, "the good file is as it was"
    for command in ("serve", "api", "worker"):
        half = make_server(ready=False, data_dir=new, command=command)
        text = wait_for(lambda s=half: "left in the middle" in (answer := s.readyz())[1] and answer[0] == 503, command)
        assert text and half.log_text().count("a restore into this store") == 1, half.log_text()
        if command != "worker":
            refused = half.api("POST", "/api/workspaces", {"name": "lost"}, expect=503).json()
            assert refused["code"] == "restore_unfinished" and "repeat the same" in refused["error"], refused
        half.stop()
    looked = json.loads(run(bin_dir, "doctor", "--data", new, "--listen", "127.0.0.1:0", "-o", "json", expect=1).stdout)
    assert ["repeat the same" in row["remedy"] for row in looked if row["status"] == "failed"] == [True], looked

    run(bin_dir, "restore", file, "--data", new)
    make_server(data_dir=new)
    again = tmp_path / "again.tgb"
    assert result(run(bin_dir, "backup", again, "--data", new))["records"]["job"] == 4


def test_a_stopped_backup_leaves_nothing(history, bin_dir, tmp_path):
    server, *_ = history
    file = tmp_path / "store.tgb"
    process = subprocess.Popen([bin_dir / "tidegate", "backup", file, "--data", server.data_dir],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.send_signal(signal.SIGINT)  # before, during or after: nothing in between
    process.communicate(timeout=60)
    left = [p.name for p in tmp_path.iterdir() if p.name.startswith("store.tgb")]
    assert left == (["store.tgb"] if process.returncode == 0 else [])


KINDS = ("workspace", "token", "connection", "run", "log")


@pytest.mark.parametrize("beside, variable", [("with_postgres", "TIDEGATE_TEST_POSTGRES"),
                                              ("with_mongo", "TIDEGATE_TEST_MONGO")])
def test_through_another_kind_of_store_and_back(history, bin_dir, tmp_path, root, beside, variable):
    server, *_ = history
    first = tmp_path / "first.tgb"
    run(bin_dir, "backup", first, "--data", server.data_dir)
    there, back = tmp_path / "there.tgb", tmp_path / "back.tgb"
    middle, last = same_key(server.data_dir, tmp_path / "middle"), same_key(server.data_dir, tmp_path / "last")
    script = f'''
        set -e
        export TIDEGATE_STORE="${variable}"
        {bin_dir}/tidegate migrate --dry-run -o json --data {middle}
        {bin_dir}/tidegate restore {first} --data {middle}
        {bin_dir}/tidegate migrate --dry-run -o json --data {middle}
        {bin_dir}/tidegate backup {there} --data {middle}'''
    done = subprocess.run([sys.executable, root / "tools" / beside, "sh", "-c", script], capture_output=True, text=True,
                          timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"present": 0' in done.stdout
    run(bin_dir, "restore", there, "--data", last)
    run(bin_dir, "backup", back, "--data", last)
    began, ended = records(there), records(back)
    for kind in KINDS:
        key = lambda r: json.dumps(r, sort_keys=True)  # noqa: E731
        if kind == "log":  # however the lines were batched
            lines = lambda logs: sorted((r["run"], *map(str, line.items())) for r in logs for line in r["lines"])  # noqa: E731
            assert lines(began[kind]) == lines(ended[kind]) == lines(records(first)[kind])
            continue
        assert sorted(began[kind], key=key) == sorted(ended[kind], key=key)
        assert {r["id"] for r in began[kind]} == {r["id"] for r in records(first)[kind]}
    jobs = {j["id"]: j for j in records(first)["job"]}
    for job in ended["job"]:
        before = jobs[job["id"]]
        assert job["spec"] == before["spec"] and job.get("state") == before.get("state")
        assert job["fence"] >= before["fence"]


def test_migrate_makes_a_store_and_says_so(bin_dir, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    look = json.loads(run(bin_dir, "migrate", "--dry-run", "--data", folder, "-o", "json").stdout)
    assert look["present"] == 0 and not look["migrated"] and not (folder / "tidegate.db").exists()
    made = json.loads(run(bin_dir, "migrate", "--data", folder, "-o", "json").stdout)
    assert made["migrated"] and made["needed"] == look["needed"]
    again = json.loads(run(bin_dir, "migrate", "--data", folder, "-o", "json").stdout)
    assert again["present"] == again["needed"] and not again["migrated"]
