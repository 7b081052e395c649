"""Competing claimers: 2, 4 and 8 workers on one store execute each run once.

An engine that only notes that it ran (stub_engine.c) stands in for the real one: what is tested is the queue.
"""
import collections
import os
import subprocess
import threading
from pathlib import Path

import pytest

from harness import wait_for

# Runs for 2, 4 and 8 workers together. SecantusDB slows down with every document.
RUNS = {"sqlite": 2000, "postgres": 2000, "mongo": 150}
JOBS = {"sqlite": 100, "postgres": 100, "mongo": 20}
SCALE = int(os.environ.get("TIDEGATE_RUNS_TIMES", 1))


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    binary = tmp_path_factory.mktemp("engine") / "tidegate-sync"
    source = Path(__file__).with_name("stub_engine.c")
    subprocess.run(["clang-19", "-O1", "-static", "-Wall", "-Werror", "-o", binary, source], check=True)
    return binary


def trigger(api, jobs, count):
    """Starts `count` runs by hand, of each job the next once the last has ended. Returns their ids."""
    started, lock = [], threading.Lock()
    session_jobs = collections.deque(jobs)

    def work():
        while True:
            with lock:
                if len(started) >= count:
                    return
                job = session_jobs.popleft()
                session_jobs.append(job)
            answer = api.request("POST", f"/api/workspaces/default/sync-jobs/{job}/run")
            assert answer.status_code in (202, 409), answer.text  # 409: its last run is not over
            with lock:
                if answer.status_code == 202:
                    started.append(answer.json()["data"]["runId"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return started


def executions(stub):
    file = stub.with_name("executions")
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_competing_claimers_execute_each_run_once(cluster, store, stub):
    stub.with_name("executions").unlink(missing_ok=True)
    env = {"TIDEGATE_RETENTION_RUNS_PER_JOB": "100000", "TIDEGATE_LEASE_SCHEDULER_TTL": "8s", "TIDEGATE_LEASE_RUN_TTL": "30s",
           "TIDEGATE_WORKER_MAX_CONCURRENT_RUNS": "4"}
    api = cluster.api(env=env)
    (api.files / "items.csv").write_text("id\n1\n")
    ids = api.csv_to_sqlite("items.csv", "out.db")
    # Several runs of one destination's file would wait for each other: each job has its own.
    jobs = []
    for i in range(JOBS[store.kind]):
        target = api.api("POST", "/destinations", {"name": f"d{i}", "type": "sqlite",
                                                   "config": {"path": str(api.files / f"{i}.db")}})
        jobs.append(api.create_job(f"j{i}", (ids[0], target["id"]))["id"])
    started = []
    for more in (2, 2, 4):
        for _ in range(more):
            cluster.worker(env=env | {"TIDEGATE_ENGINE": str(stub)}, wait=False)
        wait_for(lambda: len(api.api("GET", "/api/workers")) == len(cluster.workers()), "all are registered")
        started += trigger(api, jobs, RUNS[store.kind] * SCALE // 3)
        wait_for(lambda: api.request("GET", "/api/workspaces/default/runs?limit=1&state=queued").json()["total"] == 0
                 and api.request("GET", "/api/workspaces/default/runs?limit=1&state=running").json()["total"] == 0,
                 "all runs have ended", 120)
    ran = collections.Counter(run for _, run, _ in executions(stub))
    assert ran == collections.Counter(started), "each once, and nothing else"
    by_worker = collections.Counter()
    for job in jobs:
        fences = [int(f) for j, _, f in executions(stub) if j == job]
        assert len(set(fences)) == len(fences), "no fence is given twice"
    for run in runs_of(api):
        assert (run["state"], run["attempt"]) == ("succeeded", 1), run
        by_worker[run["attempts"][0]["worker"]] += 1
    assert len(by_worker) > 1, f"nobody competed: {by_worker}"
    print(f"runs by worker: {sorted(by_worker.values())}")


def runs_of(api):
    cursor = None
    while True:
        answer = api.request("GET", "/api/workspaces/default/runs",
                             params={"limit": 1000} | ({"cursor": cursor} if cursor else {})).json()
        yield from answer["data"]
        if not (cursor := answer.get("nextCursor")):
            return
