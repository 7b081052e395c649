"""Canary secrets: put in wherever a secret can go, then looked for wherever one must not be."""
import json
import os
import signal
import subprocess
from pathlib import Path

import data
from harness import wait_for

ADMIN = "tg_" + "canaryadmin0" * 4
KEY = "ca9a5e" * 10 + "c0de"  # 64 hex digits
PASSWORD = "canary-password-7c1e"
CANARIES = [ADMIN, KEY, PASSWORD]


def tree(pid):
    """The process and everything below it."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for c in child.read_text().split():
                found += tree(int(c))
        except OSError:
            pass
    return found


def proc(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def found_in(blob, canaries):
    return [c for c in canaries if c.encode() in blob]


def start(make_server):
    return make_server(env={"TIDEGATE_ADMIN_TOKEN": ADMIN, "TIDEGATE_SECRET_KEY": KEY, "TIDEGATE_LOG_LEVEL": "debug"})


def ask(server, method, path, body=None, token=ADMIN):
    return server.request(method, path, body, token=token)


def test_canaries_are_nowhere(make_server):
    server = start(make_server)
    ws = "/api/workspaces/default"
    data.write_csv(server.files / "items.csv", 200_000)
    answers = []

    def call(method, path, body=None, token=ADMIN):
        answer = ask(server, method, path, body, token)
        answers.append(answer.text + json.dumps(dict(answer.headers)))
        return answer

    made = ask(server, "POST", "/api/tokens", {"name": "ci", "role": "admin"}).json()["data"]
    secret = made["token"]  # shown this once
    canaries = CANARIES + [secret]
    source = call("POST", f"{ws}/data-sources", {"name": "s", "type": "file", "config": {"path": "items.csv"}}).json()["data"]["id"]
    target = call("POST", f"{ws}/destinations", {"name": "d", "type": "sqlite", "config": {"path": "out.db"}}).json()["data"]["id"]
    job = call("POST", f"{ws}/sync-jobs", {"name": "j", "dataSourceId": source, "destinationDatabaseId": target}).json()["data"]["id"]
    # Refused requests quote names and never what was in the place of a secret.
    for config in ({"path": "x", "password": PASSWORD}, {"path": {"password": PASSWORD}}, {"path": [PASSWORD]}):
        assert call("POST", f"{ws}/data-sources", {"name": "w", "type": "file", "config": config}).status_code == 422
    assert call("GET", "/api/tokens", token=PASSWORD).status_code == 401
    assert call("GET", "/api/tokens", token=secret + "x").status_code == 401
    assert call("GET", "/api/tokens", token=secret).status_code == 200
    run = call("POST", f"{ws}/sync-jobs/{job}/run", token=secret).json()["data"]["runId"]

    # The engine's process too, while it has its request.
    seen = wait_for(lambda: [p for p in tree(server.process.pid) if b"tidegate-sync" in proc(p, "cmdline")],
                    "a child runs")
    os.kill(seen[0], signal.SIGSTOP)
    try:
        for pid in tree(server.process.pid):
            assert not found_in(proc(pid, "cmdline"), canaries), pid
            assert not found_in(proc(pid, "environ"), canaries), pid
            limit = next(l for l in proc(pid, "limits").decode().splitlines() if l.startswith("Max core file size"))
            assert limit.split()[4:6] == ["0", "0"], limit
    finally:
        os.kill(seen[0], signal.SIGCONT)
    wait_for(lambda: ask(server, "GET", f"{ws}/runs/{run}").json()["data"]["state"] == "succeeded", "the run succeeds")
    for path in (f"{ws}/runs/{run}", f"{ws}/runs/{run}/logs", f"{ws}/data-sources/{source}", f"{ws}/sync-jobs/{job}/status",
                 "/api/tokens", f"/api/tokens/{made['id']}", "/api/workers", "/api/connectors", "/readyz"):
        call("GET", path)
    server.stop()

    assert not found_in("\n".join(answers).encode(), canaries)
    assert not found_in(server.log_path.read_bytes(), canaries)
    kept = [p for p in server.data_dir.rglob("*") if p.is_file()]
    assert any(p.suffix == ".db" for p in kept)
    for path in kept:
        assert not found_in(path.read_bytes(), canaries), path


def test_the_command_line_hides_a_password(bin_dir, tmp_path):
    # A variable's value is put into the URL as it is, so it may hold what should have been escaped.
    for url in (f"postgres://u:{PASSWORD}@127.0.0.1:1/db", "postgres://u:${PASS}@127.0.0.1:1/db",
                f"postgres://127.0.0.1:1/db?password={PASSWORD}"):
        done = subprocess.run([bin_dir / "tidegate", "sync", url, tmp_path / "out.db"], capture_output=True, timeout=60,
                              cwd=tmp_path, env=os.environ | {"PASS": f"{PASSWORD}/@"})
        assert done.returncode != 0
        assert not found_in(done.stdout + done.stderr, [PASSWORD]), url


def test_a_crash_leaves_no_core(make_server, tmp_path):
    for number in (signal.SIGSEGV, signal.SIGABRT):
        server = make_server(data_dir=tmp_path / f"crash{int(number)}")
        assert b"Max core file size        0                    0" in proc(server.process.pid, "limits")
        server.signal(number)
        status = os.waitid(os.P_PID, server.process.pid, os.WEXITED | os.WNOWAIT)
        assert status.si_code == os.CLD_KILLED, "CLD_DUMPED would be a core"
        assert status.si_status == number
        server.process.wait()
