"""deploy/: no container engine runs here, so each file is checked by the program that reads it, and for what it says."""
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import requests

from harness import BOUND, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
VENV = ROOT / ".tools/venv/bin"
COMPOSE_PROGRAM = next(ROOT.glob(".tools/venv/lib/python3*/site-packages/compose/docker-compose"))
PROXIES = ROOT / ".tools/proxies/usr"
COMPOSE = ["compose.yaml", "compose.postgres.yaml"]


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=BOUND, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(params=COMPOSE)
def project(request):
    """The project as Docker Compose itself understands it: it also checks the file against the specification's schema."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return json.loads(run(COMPOSE_PROGRAM, "-f", DEPLOY / request.param, "config", "--format", "json", env=env))


@pytest.fixture(scope="session")
def keys(bin_dir):
    """Configuration key by variable, with its default."""
    rows = json.loads(run(bin_dir / "tidegate", "config", "--output", "json", env={"HOME": "/"}))
    return {row["variable"]: row for row in rows}


def seconds(text):
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([hms])", text))


def ours(project):
    return {name: s for name, s in project["services"].items() if s["image"] == "tidegate"}


def test_a_mistake_in_a_compose_file_is_found(tmp_path):
    text = (DEPLOY / "compose.yaml").read_text().replace("stop_grace_period:", "stop_grace_time:", 1)
    (tmp_path / "compose.yaml").write_text(text)
    done = subprocess.run([COMPOSE_PROGRAM, "-f", tmp_path / "compose.yaml", "config", "-q"], capture_output=True,
                          text=True, timeout=BOUND)
    assert done.returncode != 0 and "stop_grace_time" in done.stderr


def test_three_api_servers_and_two_workers_behind_a_proxy(project, bin_dir):
    commands = sorted(s["command"] for s in ours(project).values())
    assert commands == [["api"]] * 3 + [["worker"]] * 2
    for command in {tuple(c) for c in commands}:
        run(bin_dir / "tidegate", *command, "--help")
    published = [name for name, s in project["services"].items() if s.get("ports")]
    assert published == ["proxy"]
    [port] = project["services"]["proxy"]["ports"]
    assert port["host_ip"] == "127.0.0.1"
    upstreams = project["services"]["proxy"]["environment"]["TIDEGATE_UPSTREAMS"].split()
    assert sorted(u.split(":")[0] for u in upstreams) == sorted(n for n, s in ours(project).items() if s["command"] == ["api"])


def test_each_variable_is_a_configuration_key_and_each_secret_a_file(project, keys):
    known = set(keys) | {row["fileVariable"] for row in keys.values()}
    for name, service in ours(project).items():
        environment = service["environment"]
        assert set(environment) <= known, name
        assert {"TIDEGATE_STORE_FILE", "TIDEGATE_SECRET_KEY_FILE", "TIDEGATE_ADMIN_TOKEN_FILE"} <= set(environment), name
        mounted = {f"/run/secrets/{s['source']}" for s in service["secrets"]}
        assert {v for k, v in environment.items() if k.endswith("_FILE")} == mounted, name
    for service in project["services"].values():
        for variable, value in (service.get("environment") or {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), value


def test_a_service_may_do_little_and_has_limits(project):
    for name, service in project["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        assert not service.get("privileged") and not service.get("network_mode"), name
        if service["restart"] == "unless-stopped":
            assert service["healthcheck"]["test"], name
        for mount in service.get("volumes", []):
            assert mount["type"] == "volume", name


def test_a_stop_waits_longer_than_the_drain(project, keys):
    for name, service in ours(project).items():
        drain = service["environment"].get("TIDEGATE_WORKER_DRAIN", keys["TIDEGATE_WORKER_DRAIN"]["default"])
        # Then 10 s to be asked, 10 s to be told, and 40 s for a store that is away: stop_limit().
        assert seconds(service["stop_grace_period"]) > seconds(drain) + 60, name


def test_the_secrets_are_made_once_and_each_file_has_its_own(project, tmp_path):
    shutil.copy(DEPLOY / "make_secrets", tmp_path)
    run(tmp_path / "make_secrets")
    made = {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()}
    assert {Path(s["file"]).name for s in project["secrets"].values()} <= set(made)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(set(made.values())) == len(made) and all(len(v) > 32 for v in made.values())
    assert made["mongo_password"].strip() in made["mongo_store_url"]
    assert made["postgres_password"].strip() in made["postgres_store_url"]
    run(tmp_path / "make_secrets")
    assert {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()} == made


def test_the_dockerfile_is_clean():
    run(VENV / "hadolint", "--no-color", DEPLOY / "Dockerfile")


def test_the_image_runs_as_the_user_that_the_compose_files_mount_for(project):
    text = (DEPLOY / "Dockerfile").read_text()
    [user] = re.findall(r"^USER (\d+):\1$", text, re.M)
    assert f"--uid {user}" in text and user != "0"
    for service in ours(project).values():
        assert any(f"uid={user},gid={user}" in mount for mount in service["tmpfs"])
    # What of the checkout the image's build needs is not left out.
    ignored = (ROOT / ".dockerignore").read_text().split()
    for needed in ("dev", "tools", "cmake", "src", "cmd", "deploy/debian", "deploy/systemd", "docs/ops", "LICENSE"):
        assert (ROOT / needed).exists() and needed not in ignored


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request, make_server, tmp_path):
    """The example of a proxy in front of three servers on one store: (its address, the servers)."""
    servers = [make_server()] + [make_server(command="api") for _ in range(2)]
    addresses = [s.url.removeprefix("http://") for s in servers]
    listen = "127.0.0.1:%d" % free_port()
    if request.param == "nginx":
        text = (DEPLOY / "nginx.conf").read_text().replace("listen 8080;", f"listen {listen};")
        for number, address in enumerate(addresses, 8081):
            text = text.replace(f"127.0.0.1:{number} ", f"{address} ")
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr; worker_processes 1; events {{}} http {{ access_log off;\n"
            + "".join(f"{what}_temp_path {tmp_path}/{what};\n" for what in
                      ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")) + text + "}\n")
        run(PROXIES / "sbin/nginx", "-t", "-e", "stderr", "-c", tmp_path / "nginx.conf")
        command, env = [PROXIES / "sbin/nginx", "-e", "stderr", "-c", tmp_path / "nginx.conf"], {}
    else:
        env = {"TIDEGATE_SITE": f"http://{listen}", "TIDEGATE_UPSTREAMS": " ".join(addresses), "HOME": str(tmp_path)}
        text = "{\n\tadmin off\n}\n" + (DEPLOY / "Caddyfile").read_text()
        (tmp_path / "Caddyfile").write_text(text)
        command = [PROXIES / "bin/caddy", "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"]
    with open(tmp_path / "proxy.log", "wb") as log:
        process = subprocess.Popen(command, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def answers():
            assert process.poll() is None, (tmp_path / "proxy.log").read_text()
            try:
                return requests.get(f"http://{listen}/readyz", timeout=5).ok
            except requests.RequestException:
                return False

        wait_for(answers, "the proxy answers")
        yield f"http://{listen}", servers
    finally:
        process.terminate()
        process.wait(BOUND)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_proxy_streams_logs_and_outlives_the_loss_of_servers(proxy, nycflights):
    url, servers = proxy
    head = {"Authorization": f"Bearer {servers[0].token}"}
    shutil.copy(nycflights / "airlines.csv", servers[0].files)
    job = servers[0].create_job("behind", servers[0].csv_to_sqlite("airlines.csv"))
    # While the destination is locked the run cannot end: what arrives meanwhile was not kept back.
    with closing(sqlite3.connect(servers[0].files / "out.db", isolation_level=None)) as lock:
        lock.execute("CREATE TABLE held (x)")
        lock.execute("BEGIN EXCLUSIVE")
        run_id = servers[0].run_now(job["id"])
        with requests.get(f"{url}/api/workspaces/default/runs/{run_id}/logs", headers=head | {"Accept": "text/event-stream"},
                          stream=True, timeout=BOUND) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert any(line.startswith(b"data:") for line in lines)
            assert servers[0].api("GET", f"/runs/{run_id}")["state"] in ("queued", "running")
            lock.execute("ROLLBACK")
            assert any(line == b"event: end" for line in lines)
    assert servers[0].wait_run(run_id)["state"] == "succeeded"
    for lost in servers[1:]:
        lost.kill()
        for _ in range(20):
            answer = requests.get(f"{url}/api/workspaces/default/sync-jobs", headers=head, timeout=BOUND)
            assert answer.status_code == 200, answer.text
