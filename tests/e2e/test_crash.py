"""Killing and freezing real processes on each store: nothing is lost, doubled or written by a dead owner.

Leases are short here (the same code, other numbers); ./dev soak uses the real ones.
"""
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

import data
from cluster import Jobs, wait_lease, wait_moment
from harness import wait_for
from stores import state_of

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


@pytest.fixture
def pair(cluster):
    """An API that executes nothing and two workers."""
    api = cluster.api()
    workers = [cluster.worker(), cluster.worker()]
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


def thaw(pids):
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # ended as the holder of a lock that somebody needed


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
    thaw(frozen)
    before = api.api("GET", f"/runs/{run}")
    logs = api.api("GET", f"/runs/{run}/logs?limit=1000", headers={"Accept": "application/json"})
    # The thawed worker has had time for everything it would do: it renews (and is refused) many times.
    wait_lease(3)
    assert ended["state"] == "succeeded" and ended["attempts"][0]["outcome"] == "worker_lost"
    assert api.api("GET", f"/runs/{run}") == before
    assert api.api("GET", f"/runs/{run}/logs?limit=1000", headers={"Accept": "application/json"}) == logs
    assert_complete(api)


def freeze_a_child(pair, kind, **limit):
    """SIGSTOP of the child alone: its worker lives and keeps the run's lease, so nobody else may take the run over."""
    api, workers = pair
    job = long_job(api, retry={"maxAttempts": 5, "initial": "1s", "max": "1s"}, **limit)
    run = api.run_now(job["id"])
    owner = owner_of(api, run, workers)
    [child] = children(owner.process.pid)
    os.kill(child, signal.SIGSTOP)
    try:
        written = data.query(api.files / "out.db", "SELECT count(*) FROM items")
    except sqlite3.OperationalError:  # locked: it was frozen while it commits its claim of the table
        written = []
    assert written == [], "it was through already"
    wait_lease(2)
    ended = api.wait_run(run)
    # A limit that was reached is no reason to try again.
    assert (ended["state"], ended["errorKind"], ended["attempt"]) == ("timed_out", kind, 1), ended
    assert not Path(f"/proc/{child}").exists()
    assert data.query(api.files / "out.db", "SELECT count(*) FROM items") == []
    assert all(w.process.poll() is None for w in workers)
    assert api.wait_run(api.run_now(job["id"]))["state"] == "succeeded"
    assert_complete(api)


def test_a_frozen_child_is_killed_at_the_stall_timeout(pair):
    freeze_a_child(pair, "stalled", stallTimeout="3s")


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_frozen_child_is_killed_at_the_timeout(pair):
    freeze_a_child(pair, "timeout", timeout="3s")


def test_a_frozen_leader_that_comes_back_plans_nothing(pair, cluster, store):
    api, _ = pair
    jobs = Jobs(api, 1)
    wait_for(lambda: api.api("GET", f"/sync-jobs/{jobs.ids[0]}/history"), "a scheduled run")
    frozen = cluster.leader(api)
    old = store.leader()
    frozen.signal(signal.SIGSTOP)
    wait_lease(2)
    wait_for(lambda: store.leader()[1] > old[1], "another leads")
    new = store.leader()
    thaw([frozen.process.pid])
    # On SQLite a frozen process that holds the file's lock is ended by those who need it.
    wait_for(lambda: "does not lead any more" in frozen.log_text() or frozen.process.poll() is not None,
             "the thawed one sees that it lost the lease")
    wait_lease(3)
    assert new[0] != old[0]
    # A slow store may cost the new one its lease as well; whoever leads then has a fence of his own.
    now = store.leader()
    assert now == new or now[1] > new[1], "the lease went back to the thawed one"
    jobs.check(store)


def test_a_dead_leader_is_replaced(pair, cluster, store):
    api, _ = pair
    jobs = Jobs(api, 1)
    job = jobs.ids[0]
    wait_for(lambda: api.api("GET", f"/sync-jobs/{job}/history"), "a scheduled run")
    cluster.leader(api).kill()
    count = len(api.api("GET", f"/sync-jobs/{job}/history"))
    wait_for(lambda: len(api.api("GET", f"/sync-jobs/{job}/history?limit=1000")) > count + 1,
             "the standby plans", bound=15)
    jobs.check(store)


def test_sigterm_returns_runs_to_the_queue_and_uses_no_retry(cluster):
    env = {"TIDEGATE_WORKER_DRAIN": "0s"}
    api, first = cluster.api(env=env), cluster.worker(env=env)
    job = long_job(api)
    run = api.run_now(job["id"])
    owner_of(api, run, [first])
    first.stop()
    assert first.process.returncode == 0
    waiting = api.api("GET", f"/runs/{run}")
    assert waiting["state"] in ("queued", "succeeded")
    cluster.worker(env=env)
    ended = api.wait_run(run)
    assert ended["state"] == "succeeded" and ended["retriesUsed"] == 0
    assert_complete(api)


class Killer:
    """kill -9 of a leader, a worker or a child. Each answers whether that bit: whether the store says, with the victim
    dead or stopped, that it led or held a run. (Its lease may have been taken over before we look; then it did not.)"""

    def __init__(self, rng, cluster, api):
        self.rng, self.cluster, self.store, self.api = rng, cluster, cluster.store, api

    def busy(self):
        """(id, worker, children) of one that holds a run and whose children are at work."""
        held, found = self.store.run_owners(), []
        for owner, worker in self.cluster.owners(self.api).items():
            if held[owner] and (pids := children(worker.process.pid)):
                found.append((owner, worker, pids))
        return self.rng.choice(found) if found else None

    def leader(self):
        victim = self.cluster.leader(self.api)
        wait_moment(self.rng, 100)
        owner = next((o for o, w in self.cluster.owners(self.api).items() if w is victim), None)
        victim.kill()
        bit = self.store.leader()[0] == owner
        victim.spawn()
        return bit

    def worker(self):
        if self.rng.randrange(3) == 0:  # busy or not, or only about to start
            victim = self.rng.choice(self.cluster.workers())
            owner = next((o for o, w in self.cluster.owners(self.api).items() if w is victim), None)
        else:
            owner, victim, _ = wait_for(self.busy, "a worker at work")
            if self.rng.randrange(2):
                wait_moment(self.rng, 100)
        victim.kill()
        bit = self.store.run_owners()[owner] > 0
        victim.spawn()
        return bit

    def child(self):
        owner, worker, pids = wait_for(self.busy, "a child at work")
        try:
            os.kill(pids[0], signal.SIGSTOP)  # it cannot end while we look
            held = self.store.run_owners()[owner]
            alive = [p for p in children(worker.process.pid) if state_of(p) != "Z"]
            os.kill(pids[0], signal.SIGKILL)
        except ProcessLookupError:
            return False
        return pids[0] in alive and held >= len(alive)  # each that lives has its run


def test_kill_9_anything_again_and_again(cluster, store):
    """The kill loop: leader, worker or child at random moments, under load."""
    seed = int(os.environ.get("TIDEGATE_SEED", random.SystemRandom().randrange(10**9)))
    kills = int(os.environ.get("TIDEGATE_KILLS", 20))
    print(f"replay with TIDEGATE_SEED={seed} TIDEGATE_KILLS={kills}")
    rng = random.Random(seed)
    api = cluster.api()
    for _ in range(3):
        cluster.worker()
    jobs = Jobs(api, 2, rows=20_000, syncMode="incremental", entities={"*": {"cursor": "id", "primaryKey": ["id"]}},
                retry={"maxAttempts": 10, "initial": "1s", "max": "1s"})
    killer = Killer(rng, cluster, api)
    kinds = rng.sample(["leader", "worker", "child"], 3)
    sent, bitten = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)

    def kill(what):
        wait_moment(rng, 1000)
        sent[what] += 1
        bitten[what] += getattr(killer, what)()
        jobs.append(100)

    for n in range(kills):
        kill(kinds[n % len(kinds)])
    for what in kinds:
        if kills >= len(kinds):
            wait_for(lambda what=what: bitten[what] or kill(what), f"a kill of a {what} bites: {bitten} of {sent}")
    outcomes = jobs.check(store)
    print(f"kills: {sent}, of which bit: {bitten}; slots: {outcomes}")
