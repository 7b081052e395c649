#!/usr/bin/env python3
"""How long it takes the others to go on, with the real lease times. A program of ./dev soak.

Usage: failover.py leader|worker|stop sqlite|postgres|mongo SAMPLES

    leader   kill -9 of the leader, until another has planned a slot
    worker   kill -9 of a worker in a run, until another has started the run
    stop     SIGTERM to the leader, how late the slots after it are planned

Times are the store's own records, on one machine with one clock. At the end every slot must have one outcome and
the destination one load for each run that succeeded. The last line is JSON: {"samples": [milliseconds, …]}.
"""
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import data
from cluster import EVERY_SECOND, Cluster, check_slots, now, wait_moment, when
from conftest import BIN
from harness import wait_for
from stores import Servers
from test_crash import owner_of

ROWS = 300_000  # of the run whose worker is killed
RENEWAL_MS = 2000  # of the leader's lease: a kill falls at any time between two


def ms(span):
    return round(span.total_seconds() * 1000)


class Topology:
    def __init__(self, folder, kind):
        self.servers = Servers(folder)
        self.store = self.servers.open(kind, folder / "store")
        self.cluster = Cluster(BIN, folder, self.store, env={})
        self.api = self.cluster.api()
        self.workers = [self.cluster.worker(), self.cluster.worker()]
        self.rng = random.SystemRandom()

    def stop(self):
        self.cluster.stop()
        self.servers.stop()

    def job(self, rows, **fields):
        # Appends, so that a run that was committed twice shows.
        data.write_csv(self.api.files / "items.csv", rows)
        return self.api.create_job("job", self.api.csv_to_sqlite("items.csv", "out.db"), syncMode="full_append",
                                   overlap="allow", **fields)["id"]

    def runs_after(self, job, moment):
        runs = self.api.api("GET", f"/sync-jobs/{job}/history?limit=100")
        return [r for r in runs if r["scheduledFor"] and when(r["createdAt"]) > moment]

    def restart(self, victim):
        victim.spawn()
        victim.wait_ready()

    def leader_samples(self, count):
        job = self.job(1, schedule=EVERY_SECOND)
        for _ in range(count):
            leader = self.cluster.leader(self.api)
            began = now()
            wait_for(lambda: self.runs_after(job, began), "it plans")
            wait_moment(self.rng, RENEWAL_MS)
            killed = now()
            leader.kill()
            first = wait_for(lambda: self.runs_after(job, killed), "another plans")[-1]
            yield ms(when(first["createdAt"]) - killed)
            self.restart(leader)
        self.check(job)

    def stop_samples(self, count):
        job = self.job(1, schedule=EVERY_SECOND)
        for _ in range(count):
            leader = self.cluster.leader(self.api)
            began = now()
            wait_for(lambda: self.runs_after(job, began), "it plans")
            wait_moment(self.rng, RENEWAL_MS)
            asked = now()
            leader.signal(signal.SIGTERM)
            late = wait_for(lambda: (runs := self.runs_after(job, asked))[1:] and runs, "two slots after it")
            yield max(ms(when(r["createdAt"]) - when(r["scheduledFor"])) for r in late)
            assert leader.process.wait(60) == 0
            self.restart(leader)
        self.check(job)

    def worker_samples(self, count):
        job, runs = self.job(ROWS), 0
        while count:
            run = self.api.run_now(job)
            owner = owner_of(self.api, run, self.workers)
            killed = now()
            owner.kill()
            ended = self.api.wait_run(run, bound=120)
            runs += 1
            assert ended["state"] == "succeeded", ended
            assert self.rows() == runs * ROWS, "a load was lost or committed twice"
            self.restart(owner)
            if ended["attempts"][0]["outcome"] == "succeeded":
                continue  # over before the kill
            assert ended["attempts"][0]["outcome"] == "worker_lost", ended
            count -= 1
            yield ms(when(ended["attempts"][1]["startedAt"]) - killed)

    def rows(self):
        return data.query(self.api.files / "out.db", "SELECT count(*) FROM items")[0][0]

    def check(self, job):
        check_slots(self.api, job)
        self.api.api("POST", f"/sync-jobs/{job}/pause", {"note": "counted"})

        def all_over():
            total = {s: self.api.request("GET", f"/api/workspaces/default/runs?limit=1&state={s}").json()["total"]
                     for s in ("queued", "running", "succeeded", "failed")}
            return total if total["running"] == 0 else None

        assert wait_for(all_over, "the runs are over")["succeeded"] == self.rows()


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("leader", "worker", "stop"):
        sys.exit(__doc__)
    what, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # In memory, open to the user `postgres`.
    folder = Path(tempfile.mkdtemp(prefix="tidegate-failover-", dir="/dev/shm"))
    folder.chmod(0o755)
    topology = Topology(folder, kind)
    try:
        samples = list(getattr(topology, f"{what}_samples")(count))
    finally:
        topology.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"samples": samples}))


if __name__ == "__main__":
    main()
