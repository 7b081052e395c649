"""Somebody sets a worker's clock: ±1 h changes nothing, for a served store's time is the server's. SQLite's is that of its host:
when that is set, no scheduled time is lost or doubled.

A preloaded library (clock_shift.c) shifts CLOCK_REALTIME of one process; the other clocks stay true.
"""
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import LEASE_MS, REAL_LEASES, Jobs, now, wait_lease, when
from harness import wait_for
from test_crash import children, long_job, owner_of
from test_store_faults import runs_of, served, wait_more_runs

HOUR = 3600
# No step may look like a lost lease, and neither may a busy machine: seen here, a worker that got no processor for the usual second.
STEADY_MS = LEASE_MS if REAL_LEASES else 5_000
STEADY = {} if REAL_LEASES else {"TIDEGATE_LEASE_SCHEDULER_TTL": "5s", "TIDEGATE_LEASE_RUN_TTL": "5s"}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    built = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    subprocess.run(["clang-19", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", built, source], check=True)
    return built


def ahead_of_us(worker):
    """Seconds. On SIGHUP it reads its configuration again and says so, with its time."""
    seen = len(worker.log_text())
    worker.signal(signal.SIGHUP)

    def said():
        lines = [json.loads(x) for x in worker.log_text()[seen:].splitlines() if "configuration read again" in x]
        return lines and lines[0]["time"]

    return (when(wait_for(said, "it says its time")) - now()).total_seconds()


def clock_of(library, folder):
    """The file that set_clock() sets, and the environment of the processes that go by it."""
    shift = folder / "shift"
    shift.write_bytes(struct.pack("q", 0))
    return shift, {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)}


def set_clock(shift, seconds):
    with open(shift, "r+b") as f:  # in place: it is mapped
        f.write(struct.pack("q", seconds))


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_clock_steps_of_the_host_lose_and_double_no_scheduled_time(cluster, store, library, tmp_path):
    """A leader that sees its clock stepped plans nothing for 30 s, and then by the new time."""
    shift, env = clock_of(library, tmp_path)
    env |= STEADY
    api, worker = cluster.api(env=env), cluster.worker(env=env)
    jobs = Jobs(api, 2)

    def says(text, times=1):
        wait_for(lambda: worker.log_text().count(text) >= times, f"{times} × '{text}'", 90)

    wait_more_runs(api, jobs)
    assert cluster.leader(api) is worker
    fence = store.leader()
    # A step that does not last.
    set_clock(shift, HOUR)
    says("the wall clock was stepped; planning waits")
    set_clock(shift, 0)
    says("the clock is back; planning goes on")
    wait_more_runs(api, jobs)
    jobs.check(store)
    # Back: what is planned already lies in the future, and comes once.
    set_clock(shift, -HOUR)
    says("the stepped clock is confirmed")
    before = runs_of(api, jobs)
    wait_lease(3, STEADY_MS)
    assert runs_of(api, jobs) == before, "scheduled times were run again"
    assert api.wait_run(api.run_now(jobs.ids[0]))["state"] == "succeeded"
    # Forth, two hours at once: those that were passed over have an outcome, too.
    set_clock(shift, HOUR)
    says("the stepped clock is confirmed", 2)
    outcomes = jobs.check(store, ahead=HOUR)
    assert sum(outcomes.values()) > 2 * HOUR and outcomes["missed"] > HOUR, outcomes
    assert set(outcomes) <= {"succeeded", "skipped", "missed"}, outcomes
    assert store.leader() == fence, "the lease changed hands"
    for job in jobs.ids:
        for run in api.api("GET", f"/sync-jobs/{job}/history?limit=1000"):
            assert run["attempt"] <= 1, run  # 0: was due just now


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_retry_comes_in_time_after_the_hosts_clock_went_back(cluster, library, tmp_path):
    shift, env = clock_of(library, tmp_path)
    api, worker = cluster.api(env=env), cluster.worker(env=env)
    job = long_job(api, retry={"maxAttempts": 3, "initial": "5s", "max": "5s", "jitter": False})
    run = api.run_now(job["id"])
    owner_of(api, run, [worker])
    os.kill(children(worker.process.pid)[0], signal.SIGKILL)
    wait_for(lambda: api.api("GET", f"/runs/{run}")["state"] == "queued", "it waits for its retry")
    set_clock(shift, -HOUR)
    ended = api.wait_run(run)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_an_hour_that_only_the_clock_shows_uses_up_no_timeout(cluster, library, tmp_path):
    shift, env = clock_of(library, tmp_path)
    api, worker = cluster.api(env=env), cluster.worker(env=env)
    job = long_job(api, timeout="30m", retry={"maxAttempts": 3, "initial": "1s", "max": "1s", "jitter": False})
    run = api.run_now(job["id"])
    owner_of(api, run, [worker])
    child = children(worker.process.pid)[0]
    os.kill(child, signal.SIGSTOP)  # its attempt lasts until the clock is set
    set_clock(shift, HOUR)
    os.kill(child, signal.SIGKILL)
    ended = api.wait_run(run)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
    first = ended["attempts"][0]
    assert (when(first["finishedAt"]) - when(first["startedAt"])).total_seconds() > HOUR / 2, "the step did not bite"
    assert ended["durationMs"] < HOUR / 2 * 1000, ended
    assert api.api("GET", f"/sync-jobs/{job['id']}")["avgDurationMs"] == ended["durationMs"]


@served
def test_clock_steps_of_a_worker_change_nothing(cluster, store, library, tmp_path):
    shift, env = clock_of(library, tmp_path)
    api = cluster.api()
    worker = cluster.worker(env=env | STEADY)
    # Half an hour late still runs, on a busy machine too; an hour late, as a step that is believed, is missed.
    jobs = Jobs(api, 2, misfireGrace="30m")
    wait_more_runs(api, jobs)
    leads, fence = cluster.leader(api), store.leader()
    assert leads is worker
    for step in (HOUR, -HOUR, 0):
        set_clock(shift, step)
        assert abs(ahead_of_us(worker) - step) < 60, "the step did not bite"
        wait_lease(3, STEADY_MS)
        wait_more_runs(api, jobs, 4)
    assert store.leader() == fence, "the lease changed hands"
    outcomes = jobs.check(store)
    for job in jobs.ids:
        for run in api.api("GET", f"/sync-jobs/{job}/history?limit=1000"):
            late = (when(run["createdAt"]) - when(run["scheduledFor"])).total_seconds()
            assert 0 <= late < HOUR / 2 and run["attempt"] <= 1, run  # 0: was due just now
    assert set(outcomes) <= {"succeeded", "skipped"}, outcomes


def test_the_library_shifts_the_wall_clock_alone(library, tmp_path):
    shift = tmp_path / "shift"
    shift.write_bytes(struct.pack("q", HOUR))
    say = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    told = subprocess.run([sys.executable, "-c", say], env={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)},
                          capture_output=True, text=True, check=True).stdout.split()
    assert abs(float(told[0]) - time.time() - HOUR) < 60
    assert abs(float(told[1]) - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
