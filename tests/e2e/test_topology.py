"""The topology of deploy/compose.yaml as plain processes: three API servers, two workers, one store."""
import itertools
import statistics

import pytest

import data
from cluster import EVERY_SECOND, Jobs, when
from harness import wait_for


class Everywhere:
    """The API servers as a client behind a load balancer sees them: each request goes to the next."""

    def __init__(self, servers):
        self.servers, self.files = list(servers), servers[0].files
        self.turn = itertools.count()

    def next(self):
        return self.servers[next(self.turn) % len(self.servers)]

    def api(self, *args, **kwargs):
        return self.next().api(*args, **kwargs)

    def request(self, *args, **kwargs):
        return self.next().request(*args, **kwargs)

    def csv_to_sqlite(self, *args):
        return type(self.servers[0]).csv_to_sqlite(self, *args)

    def create_job(self, *args, **fields):
        return type(self.servers[0]).create_job(self, *args, **fields)


@pytest.mark.parametrize("store", ["postgres", "mongo"], indirect=True)
def test_three_apis_and_two_workers_go_on_when_some_of_them_die(cluster, store):
    # Nobody who listens at the start knows the others: they meet in the store.
    apis = [cluster.api(wait=False) for _ in range(3)]
    workers = [cluster.worker(wait=False, env={"TIDEGATE_WORKER_MAX_CONCURRENT_RUNS": "1"}) for _ in range(2)]
    for server in apis + workers:
        server.wait_ready()
    everywhere = Everywhere(apis)
    jobs = Jobs(everywhere, 3)

    def executors():
        return {r["worker"] for j in jobs.ids for r in everywhere.api("GET", f"/sync-jobs/{j}/history?limit=1000")}

    wait_for(lambda: len(executors()) == 2, "both workers execute")
    apis[0].kill()
    everywhere.servers.remove(apis[0])
    gone = cluster.leader(apis[1])
    gone.kill()
    jobs.append()
    jobs.check(store, everywhere)
    gone.spawn()  # a new process with a new id, on the same folder
    gone.wait_ready()
    wait_for(lambda: len(executors()) >= 3, "the new one executes, too")

    # A leader that is asked to stop hands over at once: no lease has to run out.
    leader = cluster.leader(apis[1])
    old = store.leader()
    leader.stop()
    assert leader.process.returncode == 0 and "leadership handed over" in leader.log_text()
    wait_for(lambda: store.leader()[1] > old[1], "another leads")
    jobs.check(store, everywhere)


@pytest.mark.parametrize("store", ["sqlite", "postgres", "mongo", "standalone"], indirect=True)
def test_a_job_created_by_any_api_is_scheduled_within_a_second(cluster, store):
    """Two where changes are polled. By the store's own records: from what was due and known to the run's record."""
    apis = [cluster.api(), cluster.api(), cluster.api()]
    cluster.worker()
    late = []
    for i, api in enumerate(apis * 2):
        data.write_csv(api.files / f"{i}.csv", 5)
        job = api.create_job(f"by {i}", api.csv_to_sqlite(f"{i}.csv", f"{i}.db"), schedule=EVERY_SECOND)
        runs = wait_for(lambda: api.api("GET", f"/sync-jobs/{job['id']}/history?limit=1000"), "a run")
        late.append((when(runs[-1]["createdAt"]) - when(runs[-1]["scheduledFor"])).total_seconds())
        api.api("POST", f"/sync-jobs/{job['id']}/pause", {"note": "seen"})
    # The median: one that the machine delayed says nothing, and a change that nobody is told of costs up to 5 s.
    assert statistics.median(late) <= (1 if store.push else 2), late
