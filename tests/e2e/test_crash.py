"""Killing and freezing real processes: nothing is lost, doubled or written by a dead owner.

Leases are short here (the same code, other numbers); ./dev soak uses the real ones.
"""
import os
import random
import signal
from pathlib import Path

import pytest

import data
from harness import Server, wait_for
from test_schedule import check_slots, ledger

LEASE_MS = 1000
SHORT_LEASES = {"TIDEGATE_LEASE_SCHEDULER_TTL": "1s", "TIDEGATE_LEASE_RUN_TTL": "1s"}
ROWS = 300_000  # long enough that a kill lands in mid-run


def children(pid):
    """Direct children of any thread of a process."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(p) for p in (task / "children").read_text().split()]
    except OSError:
        pass
    return found


def boot_ms():
    import time
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wait_lease(times):
    """Until so many lease times have passed on the clock that leases use."""
    start = boot_ms()
    wait_for(lambda: boot_ms() - start > times * LEASE_MS, f"{times} lease times")


@pytest.fixture
def pair(make_server, bin_dir, tmp_path):
    """An API that executes nothing and two workers on one store."""
    api = make_server(env=SHORT_LEASES, command="api")
    workers = [make_server(env=SHORT_LEASES, command="worker", data_dir=api.data_dir) for _ in range(2)]
    wait_for(lambda: len(api.api("GET", "/api/workers")) >= 2, "two workers are registered")
    return api, workers


def owner_of(api, run_id, workers):
    """The worker that executes a run, once it does."""
    def find():
        run = api.api("GET", f"/runs/{run_id}")
        assert run["state"] in ("queued", "running"), run
        for info in api.api("GET", "/api/workers"):
            if run["worker"] and info["id"] == run["worker"]:
                for w in workers:
                    if w.process.pid == info["pid"] and children(w.process.pid):
                        return w
        return None
    return wait_for(find, "a worker executes the run")


def long_job(api, **fields):
    data.write_csv(api.files / "items.csv", ROWS)
    fields = {"syncMode": "full"} | fields
    return api.create_job("long", api.csv_to_sqlite(), **fields)


def assert_complete(api, rows=ROWS):
    assert data.query(api.files / "out.db", "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM items") == [
        (rows, rows, 1, rows)]


def test_a_killed_worker_is_replaced_and_its_run_executed_again(pair):
    api, workers = pair
    job = long_job(api)
    run = api.run_now(job["id"])
    owner = owner_of(api, run, workers)
    owner.kill()
    ended = api.wait_run(run)
    assert ended["state"] == "succeeded" and ended["attempt"] >= 2
    # A worker's death uses no retry, and the ledger says why there was another attempt.
    assert ended["retriesUsed"] == 0
    assert ended["attempts"][0]["outcome"] == "worker_lost"
    assert_complete(api)


def test_a_killed_child_uses_a_retry(pair):
    api, workers = pair
    job = long_job(api, retry={"maxAttempts": 3, "initial": "1s", "max": "1s"})
    run = api.run_now(job["id"])
    owner = owner_of(api, run, workers)
    os.kill(children(owner.process.pid)[0], signal.SIGKILL)
    ended = api.wait_run(run)
    assert ended["state"] == "succeeded" and ended["retriesUsed"] == 1
    assert ended["attempts"][0]["errorKind"] == "internal"
    assert_complete(api)


@pytest.mark.parametrize("whole_group", [False, True], ids=["worker", "worker and child"])
def test_a_frozen_owner_that_comes_back_writes_nothing(pair, whole_group):
    """SIGSTOP for twice the lease, then SIGCONT: it must not write to store, log or destination."""
    api, workers = pair
    job = long_job(api)
    run = api.run_now(job["id"])
    owner = owner_of(api, run, workers)
    frozen = [owner.process.pid] + (children(owner.process.pid) if whole_group else [])
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    wait_lease(2)
    ended = api.wait_run(run)
    for pid in reversed(frozen):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # ended as the holder of a file lock that somebody needed
    before = api.api("GET", f"/runs/{run}")
    logs = api.api("GET", f"/runs/{run}/logs?limit=1000", headers={"Accept": "application/json"})
    # The thawed worker has had time for everything it would do: it renews (and is refused) many times.
    wait_lease(3)
    assert ended["state"] == "succeeded" and ended["attempts"][0]["outcome"] == "worker_lost"
    assert api.api("GET", f"/runs/{run}") == before
    assert api.api("GET", f"/runs/{run}/logs?limit=1000", headers={"Accept": "application/json"}) == logs
    assert_complete(api)


def test_a_dead_leader_is_replaced(pair):
    api, workers = pair
    data.write_csv(api.files / "items.csv", 10)
    job = api.create_job("ticks", api.csv_to_sqlite(), schedule={"every": "1s"})
    wait_for(lambda: api.api("GET", f"/sync-jobs/{job['id']}/history"), "a scheduled run")
    leader = wait_for(lambda: [w for w in api.api("GET", "/api/workers") if w["leader"]], "a leader")[0]
    next(w for w in workers if w.process.pid == leader["pid"]).kill()
    count = len(api.api("GET", f"/sync-jobs/{job['id']}/history"))
    wait_for(lambda: len(api.api("GET", f"/sync-jobs/{job['id']}/history?limit=1000")) > count + 1,
             "the standby plans", bound=15)


def test_sigterm_returns_runs_to_the_queue_and_uses_no_retry(make_server, bin_dir):
    env = SHORT_LEASES | {"TIDEGATE_WORKER_DRAIN": "0s"}
    api = make_server(env=env, command="api")
    first = make_server(env=env, command="worker", data_dir=api.data_dir)
    job = long_job(api)
    run = api.run_now(job["id"])
    owner_of(api, run, [first])
    first.stop()
    assert first.process.returncode == 0
    waiting = api.api("GET", f"/runs/{run}")
    assert waiting["state"] in ("queued", "succeeded")
    make_server(env=env, command="worker", data_dir=api.data_dir)
    ended = api.wait_run(run)
    assert ended["state"] == "succeeded" and ended["retriesUsed"] == 0
    assert_complete(api)


def test_kill_9_anything_again_and_again(make_server, request):
    """The kill loop: worker, child or both, at random moments; then destination = source."""
    seed = int(os.environ.get("TIDEGATE_SEED", random.SystemRandom().randrange(10**9)))
    kills = int(os.environ.get("TIDEGATE_KILLS", 12))
    print(f"replay with TIDEGATE_SEED={seed} TIDEGATE_KILLS={kills}")
    rng = random.Random(seed)
    api = make_server(env=SHORT_LEASES, command="api")
    workers = [make_server(env=SHORT_LEASES, command="worker", data_dir=api.data_dir) for _ in range(2)]
    rows = 20_000
    table = api.files / "items.csv"
    data.write_csv(table, rows)
    job = api.create_job("kill loop", api.csv_to_sqlite(), syncMode="incremental", schedule={"every": "1s"},
                         entities={"items": {"cursor": "id", "primaryKey": ["id"]}},
                         retry={"maxAttempts": 10, "initial": "1s", "max": "1s"})
    kinds = rng.sample(["worker", "child", "both"], 3)
    bitten = dict.fromkeys(kinds, 0)

    def kill_a_child():
        for worker in workers:
            for pid in children(worker.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                    return worker
                except ProcessLookupError:
                    pass
        return None

    for n in range(kills):
        what = kinds[n % len(kinds)]
        pause = boot_ms() + rng.randrange(1500)
        wait_for(lambda: boot_ms() >= pause, "a random moment")
        victim = rng.choice(workers) if what == "worker" else wait_for(kill_a_child, "a child at work")
        if what != "child":
            victim.kill()
            victim.start()
        bitten[what] += 1
        fresh = table.with_suffix(".new")
        fresh.write_bytes(table.read_bytes())
        data.append_csv(fresh, rows + 1, 500)
        fresh.rename(table)
        rows += 500
    want = data.read_csv_ids(table)
    wait_for(lambda: data.ids(api.files / "out.db") == want, "destination = source")
    assert data.query(api.files / "out.db", "SELECT count(*), count(DISTINCT id) FROM items") == [(rows, rows)]
    check_slots(ledger(api, job["id"]))
    assert all(bitten.values()), bitten
    print(f"kills: {bitten}")
