"""Somebody sets a worker's clock: ±1 h changes nothing, for a served store's time is the server's.

A preloaded library (clock_shift.c) shifts CLOCK_REALTIME of one process; the other clocks stay true.
"""
import json
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import Jobs, now, wait_lease, when
from harness import wait_for
from test_store_faults import served, wait_more_runs

HOUR = 3600


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


@served
def test_clock_steps_of_a_worker_change_nothing(cluster, store, library, tmp_path):
    shift = tmp_path / "shift"
    shift.write_bytes(struct.pack("q", 0))
    api = cluster.api()
    worker = cluster.worker(env={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)})
    jobs = Jobs(api, 2)
    wait_more_runs(api, jobs)
    leads, fence = cluster.leader(api), store.leader()
    assert leads is worker
    for step in (HOUR, -HOUR, 0):
        with open(shift, "r+b") as f:  # in place: it is mapped
            f.write(struct.pack("q", step))
        assert abs(ahead_of_us(worker) - step) < 60, "the step did not bite"
        wait_lease(3)
        wait_more_runs(api, jobs, 4)
    assert store.leader() == fence, "the lease changed hands"
    outcomes = jobs.check(store)
    for job in jobs.ids:
        for run in api.api("GET", f"/sync-jobs/{job}/history?limit=1000"):
            late = (when(run["createdAt"]) - when(run["scheduledFor"])).total_seconds()
            assert 0 <= late < HOUR / 2 and run["attempt"] == 1, run
    assert set(outcomes) <= {"succeeded", "skipped"}, outcomes


def test_the_library_shifts_the_wall_clock_alone(library, tmp_path):
    shift = tmp_path / "shift"
    shift.write_bytes(struct.pack("q", HOUR))
    say = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    told = subprocess.run([sys.executable, "-c", say], env={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)},
                          capture_output=True, text=True, check=True).stdout.split()
    assert abs(float(told[0]) - time.time() - HOUR) < 60
    assert abs(float(told[1]) - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
