"""Processes on one store, as on so many hosts: each has a data folder of its own; they share the files of the jobs."""
import collections
import datetime as dt
import itertools
import os
import time

import data
from harness import Server, wait_for

# ./dev soak runs the same tests with the real lease times.
REAL_LEASES = bool(os.environ.get("TIDEGATE_REAL_LEASES"))
LEASE_MS = 12_000 if REAL_LEASES else 1000
LEASES = {} if REAL_LEASES else {"TIDEGATE_LEASE_SCHEDULER_TTL": "1s", "TIDEGATE_LEASE_RUN_TTL": "1s"}
SECRET_KEY = "5a" * 32
TOKEN = "token-of-the-first-administrator"
EVERY_SECOND = {"cron": "* * * * * *"}


def when(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def now():
    return dt.datetime.now(dt.timezone.utc)


def boot_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wait_moment(rng, most_ms):
    """Until a random moment, so that what follows falls into any phase of what goes on."""
    moment = boot_ms() + rng.randrange(most_ms)
    wait_for(lambda: boot_ms() >= moment, "a random moment")


def wait_lease(times, ms=LEASE_MS):
    """Until so many lease times have passed on the clock that leases use."""
    start = boot_ms()
    wait_for(lambda: boot_ms() - start > times * ms, f"{times} lease times", bound=60 + times * ms / 1000)


class Cluster:
    def __init__(self, bin_dir, folder, store, env=None):
        self.bin_dir, self.folder, self.store = bin_dir, folder, store
        self.env = LEASES if env is None else env
        self.files = folder / "files"
        self.files.mkdir()
        self.servers, self._numbers = [], itertools.count(1)

    def start(self, command, url=None, wait=True, **options):
        """url: another way to the store than the straight one, as through a proxy."""
        env = self.env | {"TIDEGATE_STORE": url or self.store.url, "TIDEGATE_SECRET_KEY": SECRET_KEY,
                          "TIDEGATE_ADMIN_TOKEN": TOKEN, "TIDEGATE_PATHS_ROOTS": str(self.files)}
        env |= options.pop("env", {})
        name = f"host{next(self._numbers)}"
        server = Server(self.bin_dir, self.folder / name, command, env=env, files=self.files, **options).spawn()
        self.servers.append(server)
        if wait:
            server.wait_ready()
        return server

    def api(self, **options):
        return self.start("api", **options)

    def worker(self, **options):
        return self.start("worker", **options)

    def workers(self):
        return [s for s in self.servers if s.command == "worker" and s.process.poll() is None]

    def stop(self):
        for server in self.servers:
            server.stop()

    def owners(self, api):
        """The living processes by the ids under which they own leases; without those that have not registered yet."""
        ids = {w["pid"]: w["id"] for w in api.api("GET", "/api/workers")}
        return {ids[s.process.pid]: s for s in self.servers if s.process.pid in ids and s.process.poll() is None}

    def leader(self, api):
        """The process that leads. By the store's lock: what the workers say of themselves is some seconds old."""
        return wait_for(lambda: self.owners(api).get((self.store.leader() or ("",))[0]), "somebody leads")


class Jobs:
    """`count` jobs that copy a table of their own each second; the tables grow by append()."""

    def __init__(self, api, count=3, rows=50, schedule=None, **fields):
        self.api, self.rows = api, rows
        self.names = [f"t{i}" for i in range(count)]
        self.ids = []
        for name in self.names:
            data.write_csv(self.source(name), rows)
            ids = api.csv_to_sqlite(f"{name}.csv", f"{name}.db")
            fields = {"retry": {"maxAttempts": 5, "initial": "1s", "max": "1s"}} | fields
            self.ids.append(api.create_job(name, ids, schedule=schedule or EVERY_SECOND, **fields)["id"])

    def source(self, name):
        return self.api.files / f"{name}.csv"

    def append(self, count=20):
        """As a whole: no reader sees half a file."""
        for name in self.names:
            fresh = self.source(name).with_suffix(".new")
            fresh.write_bytes(self.source(name).read_bytes())
            data.append_csv(fresh, self.rows + 1, count)
            fresh.rename(self.source(name))
        self.rows += count

    def check(self, store, api=None, bound=90, ahead=0):
        """Every due slot has one outcome, and the destinations are the sources, row by row. Returns the outcomes.
        ahead: by so many seconds the store's clock differs from ours."""
        api = api or self.api
        self.append()
        mark = now() + dt.timedelta(seconds=ahead)
        outcomes = collections.Counter()
        for job in self.ids:
            outcomes += check_slots(api, job, mark, bound)
        for name in self.names:
            want = data.read_csv(self.source(name))
            wait_for(lambda: rows_of(api.files / f"{name}.db", name) == want, f"{name}: destination = source", bound)
        runs = store.slots_of_runs()
        assert len(runs) == len(set(runs)), "a slot has two runs"
        return outcomes


def rows_of(database, table):
    return data.query(database, f'SELECT id, name, amount, at FROM "{table}" ORDER BY id')


def check_slots(api, job_id, mark=None, bound=90):
    """The slot checker, for a schedule of each second: what is due is known without asking the server, and by and by
    each slot before `mark` (now) has one outcome and no other. Returns how many have which."""
    mark = mark or now()

    def settled():
        # The ledger last: what it lacks must not have been planned between the two looks.
        if when(api.api("GET", f"/sync-jobs/{job_id}")["nextRunAt"]) < mark:
            return None
        entries = ledger_of(api, job_id, mark)
        # As a tuple: a job that was made within this second has no slot before `mark`, which is settled, too.
        return (entries,) if all(e["outcome"] != "planned" for e in entries) else None

    [entries] = wait_for(settled, f"the slots of {job_id} before {mark} have their outcomes", bound)
    second = dt.timedelta(seconds=1)
    first = when(api.api("GET", f"/sync-jobs/{job_id}")["createdAt"]).replace(microsecond=0) + second
    due = [first + i * second for i in range(int((mark - first) / second) + 1) if first + i * second < mark]
    found = {}
    for e in entries:
        slots = [when(e["first"]) + i * second for i in range(e["count"])]
        assert when(e["last"]) == slots[-1], f"{e} is no stretch of consecutive slots"
        for slot in slots:
            found.setdefault(slot, []).append(e["outcome"])
    twice = {str(s): o for s, o in found.items() if len(o) > 1}
    assert not twice, f"slots with several outcomes: {twice}"
    found = {s: o[0] for s, o in found.items() if s < mark}
    assert sorted(found) == due, (f"slots without an outcome: {[str(s) for s in due if s not in found]}; "
                                  f"never due: {[str(s) for s in found if s not in due]}")
    runs = [e["runId"] for e in entries if e["runId"]]
    assert len(runs) == len(set(runs)), "one run for two slots"
    return collections.Counter(found.values())


def ledger_of(api, job_id, mark):
    """All entries before `mark`, page by page, newest first."""
    entries, cursor = [], None
    while True:
        query = {"limit": 1000, "until": mark.isoformat()} | ({"cursor": cursor} if cursor else {})
        answer = api.request("GET", f"/api/workspaces/default/sync-jobs/{job_id}/slots", params=query)
        assert answer.ok, answer.text
        entries += answer.json()["data"]
        cursor = answer.json().get("nextCursor")
        if not cursor:
            return entries
