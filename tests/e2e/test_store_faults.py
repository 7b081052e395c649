"""The way to the store, and its server, fail in every manner: no slot is lost or doubled, nothing hangs or spins.

The faults of the network are made by proxy.py, between one process and the server.
"""
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import Jobs, boot_ms, wait_lease
from harness import wait_for
from proxy import DOWN, UP, Trap
from test_crash import thaw

served = pytest.mark.parametrize("store", ["postgres", "mongo"], indirect=True)

KINDS = ["PLAN", "CLAIM", "FINISH"]


def trap(store, proxy, kind, action):
    words = getattr(store, kind)
    return proxy.trap(lambda flight: flight.commits_a(words), action)


def cpu_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def runs_of(api, jobs):
    return sum(len(api.api("GET", f"/sync-jobs/{j}/history?limit=1000&fields=id")) for j in jobs.ids)


def wait_more_runs(api, jobs, more=2):
    seen = runs_of(api, jobs)
    wait_for(lambda: runs_of(api, jobs) >= seen + more, "work goes on", 90)


@served
def test_a_commit_whose_answer_is_lost_counts_once(cluster, store, proxy):
    """Cut after commit: the server has it, the client knows nothing. Planning, claims and completions in turn."""
    api = cluster.api()
    cluster.worker(url=store.through(proxy))
    jobs = Jobs(api, 2)
    for kind in KINDS * 2:
        cut = trap(store, proxy, kind, Trap.CUT)
        assert cut.sprung.wait(60), f"no {kind} to cut; attempts {proxy.attempts}"
    jobs.check(store)


@served
@pytest.mark.parametrize("kind", KINDS)
def test_a_black_hole_in_the_middle_of_a_step_takes_nothing_along(cluster, store, proxy, kind):
    """The commit leaves and never arrives; the worker is away for twice its lease, another does its work."""
    api = cluster.api()
    lone = cluster.worker(url=store.through(proxy))
    jobs = Jobs(api, 2)
    wait_more_runs(api, jobs)
    held = trap(store, proxy, kind, Trap.HOLD)
    assert held.sprung.wait(60), f"no {kind} to hold"
    proxy.black_hole()
    held.release()
    cluster.worker()
    wait_lease(2)
    wait_more_runs(api, jobs)
    proxy.heal()
    jobs.check(store)
    wait_for(lambda: lone.readyz()[0] == 200, "the worker that was away is ready again")


@served
def test_half_open_and_slow_connections_lose_nothing(cluster, store, proxy):
    # The delay leaves a transaction of some flights well within the lease of a second.
    api = cluster.api()
    odd = cluster.worker(url=store.through(proxy))
    cluster.worker()
    jobs = Jobs(api, 2)
    for fault in (lambda: proxy.half_open(UP), lambda: proxy.half_open(DOWN), lambda: proxy.delay(0.02)):
        wait_more_runs(api, jobs)
        fault()
        wait_lease(2)
        wait_more_runs(api, jobs)
        proxy.heal()
    jobs.check(store)
    wait_for(lambda: odd.readyz()[0] == 200, "ready again")


@served
def test_a_leader_frozen_inside_a_transaction_is_replaced(cluster, store, proxy):
    """Its commit is on the way when it is frozen: locks that it holds must not hold up the others for ever."""
    api = cluster.api()
    frozen = cluster.worker(url=store.through(proxy))
    jobs = Jobs(api, 1)
    wait_more_runs(api, jobs)
    cluster.worker()
    held = trap(store, proxy, "PLAN", Trap.HOLD)
    assert held.sprung.wait(60)
    old = store.leader()
    frozen.signal(signal.SIGSTOP)
    wait_for(lambda: store.leader()[1] > old[1], "another leads")
    new = store.leader()
    held.release()  # what it wanted to commit arrives now
    wait_more_runs(api, jobs)
    thaw([frozen.process.pid])
    wait_for(lambda: "does not lead any more" in frozen.log_text(), "it sees that it lost the lease")
    wait_lease(3)
    assert store.leader() == new
    jobs.check(store)


@served
def test_a_leader_killed_inside_a_transaction_is_replaced(cluster, store, proxy):
    """Seen here: MongoDB keeps a transaction open, and what it wrote locked, for a minute after its client is gone."""
    api = cluster.api()
    victim = cluster.worker(url=store.through(proxy))
    jobs = Jobs(api, 1)
    wait_more_runs(api, jobs)
    cluster.worker()
    held = trap(store, proxy, "PLAN", Trap.HOLD)
    assert held.sprung.wait(60)
    old = store.leader()
    victim.kill()
    held.drop()
    wait_for(lambda: store.leader()[1] > old[1], "another leads", 20)
    wait_more_runs(api, jobs)
    jobs.check(store)


@contextmanager
def away(store, servers):
    """The server is killed and all say so; then it comes back and all are ready."""
    store.server.kill()
    for s in servers:
        wait_for(lambda s=s: s.readyz()[0] == 503, f"{s.command} says that it is not ready")
    yield
    store.server.start()
    for s in servers:
        s.wait_ready()


@served
def test_the_store_killed_under_load_comes_back_and_nothing_is_lost(cluster, store, proxy):
    url = store.through(proxy)
    servers = [cluster.api(url=url), cluster.worker(url=url), cluster.worker(url=url)]
    api = servers[0]
    jobs = Jobs(api, 2)
    for _ in range(2):
        wait_more_runs(api, jobs)
        with away(store, servers):
            for s in servers:
                code, why = s.readyz()
                assert code == 503 and "127.0.0.1" in why, why
                assert "tidegate-test" not in why, "the password"
            began, tries, used = boot_ms(), proxy.attempts, [cpu_seconds(s) for s in servers]
            wait_lease(3)
            seconds = (boot_ms() - began) / 1000
            # Backoff, in each of a few pools and feeds: a busy loop would try thousands of times.
            assert proxy.attempts - tries < 20 * seconds * len(servers)
            for s, before in zip(servers, used):
                assert cpu_seconds(s) - before < 0.5 * seconds, f"{s.command} spins while the store is away"
    jobs.check(store)


@served
@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_the_store_may_be_away_at_the_start(cluster, store, proxy, command):
    proxy.refuse()
    server = cluster.start(command, url=store.through(proxy), wait=False)
    wait_for(lambda: server.readyz()[0] == 503, "it is up and not ready")
    code, why = server.readyz()
    assert code == 503 and "127.0.0.1" in why, why
    proxy.heal()
    server.wait_ready()
    api = server if command != "worker" else cluster.api()
    if command == "api":
        cluster.worker()
    jobs = Jobs(api, 1)
    wait_more_runs(api, jobs, 1)
    jobs.check(store)
