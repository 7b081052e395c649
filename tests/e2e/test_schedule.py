"""Slots of real servers: each due slot has exactly one outcome."""
import datetime as dt

import data
from cluster import check_slots, when
from harness import wait_for


def ledger(server, job_id):
    """Every outcome as {slot: [outcome, …]}, slots expanded by one second's step."""
    entries = server.api("GET", f"/sync-jobs/{job_id}/slots?limit=1000")
    slots = {}
    for e in entries:
        slot, last = when(e["first"]), when(e["last"])
        step = (last - slot) / max(1, e["count"] - 1)
        for i in range(e["count"]):
            slots.setdefault(slot + i * step, []).append(e["outcome"])
    return slots


def test_a_created_job_is_scheduled_at_once_and_every_slot_has_one_outcome(server):
    data.write_csv(server.files / "items.csv", 10)
    job = server.create_job("each second", server.csv_to_sqlite(), schedule={"cron": "* * * * * *"})
    wait_for(lambda: len(ledger(server, job["id"])) >= 4, "four slots")
    # Toggled off: its slots go on having outcomes, with the reason.
    server.api("POST", f"/sync-jobs/{job['id']}/toggle", {"enabled": False})
    wait_for(lambda: any("skipped" in o for o in ledger(server, job["id"]).values()), "a skipped slot")
    server.api("POST", f"/sync-jobs/{job['id']}/toggle", {"enabled": True})
    count = len(ledger(server, job["id"]))
    wait_for(lambda: len(ledger(server, job["id"])) >= count + 3, "three more slots")
    check_slots(server, job["id"])


def test_a_job_of_this_second_has_no_slot_to_wait_for(server):
    """Seen here: the slot checker took no slots for unsettled ones, and said after 90 s that they had no outcome."""
    data.write_csv(server.files / "items.csv", 10)
    job = server.create_job("new", server.csv_to_sqlite(), schedule={"cron": "* * * * * *"})
    assert not check_slots(server, job["id"], when(job["createdAt"]))


def test_a_deleted_job_runs_no_more_and_keeps_its_history(server):
    data.write_csv(server.files / "items.csv", 10)
    job = server.create_job("short lived", server.csv_to_sqlite(), schedule={"every": "1s"})
    run = wait_for(lambda: server.api("GET", f"/sync-jobs/{job['id']}/history"), "a run")[0]
    server.api("DELETE", f"/sync-jobs/{job['id']}")
    assert server.api("GET", f"/runs/{run['id']}")["jobId"] == job["id"]
    seen = len(server.api("GET", "/runs?limit=1000"))
    other = server.create_job("other", server.csv_to_sqlite(database="other.db"), schedule={"every": "1s"})
    wait_for(lambda: len(server.api("GET", f"/sync-jobs/{other['id']}/history")) >= 2, "two runs of another job")
    runs = server.api("GET", "/runs?limit=1000")
    assert len([r for r in runs if r["jobId"] == job["id"]]) <= seen


def test_slots_missed_while_down_left_no_trace(make_server):
    """Seen in Mako, Dkron, node-cron: after an outage nobody can say what did not run."""
    server = make_server()
    data.write_csv(server.files / "items.csv", 10)
    job = server.create_job("outage", server.csv_to_sqlite(), schedule={"cron": "* * * * * *"},
                            misfireGrace="1s", catchup="none")
    wait_for(lambda: len(ledger(server, job["id"])) >= 2, "two slots")
    server.kill()
    before = dt.datetime.now(dt.timezone.utc)
    wait_for(lambda: dt.datetime.now(dt.timezone.utc) > before + dt.timedelta(seconds=5), "five seconds of outage")
    server.start()
    wait_for(lambda: max(ledger(server, job["id"])) > dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=2)
             and "missed" in str(ledger(server, job["id"])), "the outage is in the ledger")
    check_slots(server, job["id"])


def test_the_successor_of_a_deleted_job_takes_its_table_over_when_asked_to(server):
    data.write_csv(server.files / "items.csv", 10)
    ids = server.csv_to_sqlite()
    first = server.create_job("first", ids)
    assert server.wait_run(server.run_now(first["id"]))["state"] == "succeeded"
    server.api("DELETE", f"/sync-jobs/{first['id']}")
    data.write_csv(server.files / "items.csv", 12)
    second = server.create_job("second", ids)
    refused = server.wait_run(server.run_now(second["id"]))
    assert refused["state"] == "failed" and "tidegate jobs run" in refused["error"], refused
    started = server.api("POST", f"/sync-jobs/{second['id']}/run", {"takeOver": True}, expect=202)
    taken = server.wait_run(started["runId"])
    assert taken["state"] == "succeeded" and taken["takeOver"], taken
    assert data.ids(server.files / "out.db") == list(range(1, 13))
    data.write_csv(server.files / "items.csv", 13)
    assert server.wait_run(server.run_now(second["id"]))["state"] == "succeeded", "it owns the table now"


def test_the_log_of_an_ordinary_run_tells_its_course(server):
    data.write_csv(server.files / "items.csv", 10)
    job = server.create_job("quiet", server.csv_to_sqlite())
    run = server.wait_run(server.run_now(job["id"]))
    text = server.request("GET", f"/api/workspaces/default/runs/{run['id']}/logs", headers={"Accept": "text/plain"}).text
    lines = text.splitlines()
    assert "started by" in lines[0] and "succeeded after" in lines[-1], text
    assert "items: succeeded: 10 rows read, 10 written" in text


def test_run_now_while_a_run_is_active_names_it(server):
    data.write_csv(server.files / "items.csv", 400_000)
    job = server.create_job("long", server.csv_to_sqlite())
    run = server.run_now(job["id"])
    refused = server.request("POST", f"/api/workspaces/default/sync-jobs/{job['id']}/run")
    assert refused.status_code == 409 and run in refused.text
    cancelled = server.api("POST", f"/runs/{run}/cancel")
    assert cancelled["cancelRequested"] or cancelled["state"] == "cancelled"
    ended = server.wait_run(run)
    # A commit already made wins.
    assert ended["state"] in ("cancelled", "succeeded")


def test_pause_carries_a_note_and_status_says_why_nothing_runs(server):
    data.write_csv(server.files / "items.csv", 5)
    job = server.create_job("paused", server.csv_to_sqlite(), schedule={"every": "1s"})
    server.api("POST", f"/sync-jobs/{job['id']}/pause", {"note": "source is being moved"})
    wait_for(lambda: any(e["reason"] == "paused" for e in server.api("GET", f"/sync-jobs/{job['id']}/slots")),
             "a slot skipped as paused")
    assert "source is being moved" in str(server.api("GET", f"/sync-jobs/{job['id']}/status"))
    server.api("POST", f"/sync-jobs/{job['id']}/resume")
    wait_for(lambda: server.api("GET", f"/sync-jobs/{job['id']}/history"), "a run after the resume")
