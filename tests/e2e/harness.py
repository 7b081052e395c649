"""A Tidegate process under test."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import requests

BOUND = 60  # seconds: how long a condition may take on a loaded machine


def wait_for(condition, what, bound=BOUND):
    """Polls until condition() is truthy and returns its value."""
    deadline = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {bound} s: {what}"
        time.sleep(0.02)


class Server:
    def __init__(self, bin_dir, data_dir, command="serve", env=None, args=(), listen="127.0.0.1:0", wrapper=(),
                 files=None):
        self.bin_dir, self.data_dir, self.command = Path(bin_dir), Path(data_dir), command
        self.files = files or self.data_dir / "files"
        self.extra_env, self.args, self.listen = dict(env or {}), list(args), listen
        self.wrapper = list(wrapper)  # what runs the binary
        self.process = None
        self.url = None

    @property
    def env(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        return keep | {"TZ": "UTC"} | self.extra_env

    @property
    def token(self):
        return self.extra_env.get("TIDEGATE_ADMIN_TOKEN") or (self.data_dir / "admin-token").read_text().strip()

    @property
    def log_path(self):
        return self.data_dir.parent / f"{self.data_dir.name}-{self.command}-{id(self)}.log"

    def spawn(self):
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.files.mkdir(exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.bin_dir / "tidegate", self.command, "--data", self.data_dir, "--listen", self.listen, *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        return self

    def start(self):
        self.spawn()

        if self.command != "worker":
            self.wait_ready()
        return self

    def readyz(self):
        """(status, text) of /readyz; (0, why) while nobody listens there. A server that ended fails the test."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log_text()[-2000:]}"
        try:
            self.url = self.listening()
            answer = requests.get(self.url + "/readyz", timeout=30)
            return answer.status_code, answer.text
        except (OSError, ValueError, requests.RequestException) as e:
            return 0, str(e)

    def wait_ready(self):
        wait_for(lambda: self.readyz()[0] == 200, "the server is ready")

    def listening(self):
        """Its address: of several servers on one folder only one is named in server.json."""
        for line in reversed(self.log_text().splitlines()):
            if '"message":"listening"' in line and (entry := json.loads(line))["pid"] == self.process.pid:
                return entry["url"]
        raise ValueError("not listening yet")

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def request(self, method, path, body=None, token=None, headers=None, **kwargs):
        head = {"Authorization": f"Bearer {token or self.token}"} | (headers or {})
        return requests.request(method, self.url + path, json=body, headers=head, timeout=30, **kwargs)

    def api(self, method, path, body=None, expect=None, **kwargs):
        """The `data` of a successful answer; path is below /api/workspaces/default unless it starts with /api."""
        full = path if path.startswith("/api") else "/api/workspaces/default" + path
        answer = self.request(method, full, body, **kwargs)
        if expect is None:
            assert answer.ok, f"{method} {full}: {answer.status_code} {answer.text}"
        else:
            assert answer.status_code == expect, f"{method} {full}: {answer.status_code} {answer.text}"
        return answer.json()["data"] if answer.ok and answer.content else answer

    # ---- what most tests need

    def csv_to_sqlite(self, path="*.csv", database="out.db"):
        """The ids of a file source over `files`/path and an SQLite destination `files`/database."""
        n = len(self.api("GET", "/data-sources")) + 1
        source = self.api("POST", "/data-sources",
                          {"name": f"files {n}", "type": "file", "config": {"path": str(self.files / path)}})
        target = self.api("POST", "/destinations",
                          {"name": f"db {n}", "type": "sqlite", "config": {"path": str(self.files / database)}})
        return source["id"], target["id"]

    def create_job(self, name, ids, **fields):
        body = {"name": name, "dataSourceId": ids[0], "destinationDatabaseId": ids[1], "syncMode": "full"} | fields
        return self.api("POST", "/sync-jobs", body, expect=201)

    def run_now(self, job_id):
        return self.api("POST", f"/sync-jobs/{job_id}/run", expect=202)["runId"]

    def wait_run(self, run_id, *states, bound=BOUND):
        states = states or ("succeeded", "failed", "cancelled", "timed_out")

        def ended():
            run = self.api("GET", f"/runs/{run_id}")
            return run if run["state"] in states else None

        return wait_for(ended, f"run {run_id} reaches {states}", bound)
