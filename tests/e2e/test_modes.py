"""What arrives in the destination, by mode, scheduled and by hand."""
import sqlite3
from contextlib import closing

import pytest

import data
from harness import wait_for

EVERY_SECOND = {"every": "1s"}


def first_run(server, job):
    return wait_for(lambda: [r for r in server.api("GET", f"/sync-jobs/{job['id']}/history")
                             if r["state"] == "succeeded"], "a scheduled run succeeded")[-1]


@pytest.mark.parametrize("scheduled", [False, True])
def test_full_jobs_ran_incremental_and_incremental_ones_full(server, scheduled):
    """Seen in Mako: a boolean passed inverted. The mode is asserted by what arrives."""
    database = server.files / "out.db"
    outcome = {}
    for mode in ("full", "incremental"):
        table = server.files / f"{mode}.csv"
        data.write_csv(table, 20)
        fields = {"entityFilter": [mode], "entities": {mode: {"cursor": "id", "primaryKey": ["id"], "lookback": "0s"}}}
        job = server.create_job(mode, server.csv_to_sqlite(database="out.db"), syncMode=mode, **fields)
        assert server.wait_run(server.run_now(job["id"]))["state"] == "succeeded"
        # An old row vanishes from the source: only a full refresh notices.
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join(lines[:1] + lines[2:]))
        data.append_csv(table, 21, 5)
        if scheduled:
            before = server.api("GET", f"/sync-jobs/{job['id']}")["runCount"]
            server.api("PATCH", f"/sync-jobs/{job['id']}", {"schedule": EVERY_SECOND})
            wait_for(lambda: server.api("GET", f"/sync-jobs/{job['id']}")["runCount"] > before, "a scheduled run ended")
            server.api("PATCH", f"/sync-jobs/{job['id']}", {"enabled": False})
        else:
            assert server.wait_run(server.run_now(job["id"]))["state"] == "succeeded"
        outcome[mode] = data.ids(database, mode)
    assert outcome["full"] == list(range(2, 26))
    assert outcome["incremental"] == list(range(1, 26))


def test_incremental_without_a_cursor_fails_naming_the_candidates(server):
    data.write_csv(server.files / "items.csv", 5)
    job = server.create_job("no cursor", server.csv_to_sqlite(), syncMode="incremental")
    run = server.wait_run(server.run_now(job["id"]))
    assert (run["state"], run["errorKind"], run["attempt"]) == ("failed", "configuration", 1)
    text = str(run["entities"])
    assert "items" in text and "id" in text and "at" in text
    assert server.api("GET", f"/sync-jobs/{job['id']}")["lastError"]


def test_a_greater_fence_in_the_destination_is_passed_by_the_next_attempt(server):
    """As after a restore of an older store with the clock behind an earlier wrong one: each attempt was refused in vain."""
    data.write_csv(server.files / "items.csv", 5)
    job = server.create_job("behind", server.csv_to_sqlite(), retry={"maxAttempts": 2, "initial": "100ms"})
    assert server.wait_run(server.run_now(job["id"]))["state"] == "succeeded"
    with closing(sqlite3.connect(server.files / "out.db", isolation_level=None)) as db:
        db.execute("UPDATE _tidegate_state SET fence = fence + 1000000")
        ahead = db.execute("SELECT max(fence) FROM _tidegate_state").fetchone()[0]
    run = server.wait_run(server.run_now(job["id"]))
    assert (run["state"], run["attempt"]) == ("succeeded", 2), run
    with closing(sqlite3.connect(server.files / "out.db")) as db:
        assert db.execute("SELECT max(fence) FROM _tidegate_state").fetchone()[0] == ahead + 1


def test_one_bad_entity_does_not_stop_the_others(server):
    data.write_csv(server.files / "good.csv", 5)
    (server.files / "bad.csv").write_text("a,a\n1,2\n")
    job = server.create_job("mixed", server.csv_to_sqlite(), retry={"maxAttempts": 1})
    run = server.wait_run(server.run_now(job["id"]))
    outcomes = {e["entity"]: e["outcome"] for e in run["entities"]}
    assert run["state"] == "failed" and outcomes == {"good": "succeeded", "bad": "failed"}
    assert data.ids(server.files / "out.db", "good") == [1, 2, 3, 4, 5]


def test_entity_filter_honours_every_name_and_glob(server):
    for name in ("a1", "a2", "b1", "c1"):
        data.write_csv(server.files / f"{name}.csv", 3)
    job = server.create_job("filtered", server.csv_to_sqlite(), entityFilter=["a*", "c1"])
    run = server.wait_run(server.run_now(job["id"]))
    assert sorted(e["entity"] for e in run["entities"]) == ["a1", "a2", "c1"]


def run_entities(server, job, *names):
    body = {"entities": list(names)}
    return server.wait_run(server.api("POST", f"/sync-jobs/{job['id']}/run", body, expect=202)["runId"])


def test_an_entity_that_is_not_there_is_never_dropped(server):
    """Seen here: a run of "a" and "typo" copied "a" and succeeded."""
    for name in ("items", "other", "bad"):
        data.write_csv(server.files / f"{name}.csv", 3)
    job = server.create_job("named", server.csv_to_sqlite(), entityFilter=["items", "bad"], retry={"maxAttempts": 1})
    run = run_entities(server, job, "items", "itms")
    outcomes = {e["entity"]: e["outcome"] for e in run["entities"]}
    assert (run["state"], outcomes) == ("failed", {"items": "succeeded", "itms": "failed"})
    assert 'did you mean "items"' in run["error"], run["error"]
    alone = run_entities(server, job, "itms")
    assert alone["state"] == "failed" and '"itms"' in alone["error"]
    left_out = run_entities(server, job, "other")
    assert left_out["state"] == "failed" and "entityFilter" in left_out["error"]
    # A retry of an entity that has gone meanwhile.
    (server.files / "bad.csv").write_text("a,a\n1,2\n")
    failed = server.wait_run(server.run_now(job["id"]))
    assert failed["state"] == "failed"
    (server.files / "bad.csv").unlink()
    again = server.wait_run(server.api("POST", f"/runs/{failed['id']}/retry", expect=202)["runId"])
    assert again["state"] == "failed" and [e["entity"] for e in again["entities"]] == ["bad"]
    assert 'no entity "bad"' in again["error"], again["error"]
