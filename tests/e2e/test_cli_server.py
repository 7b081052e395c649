"""The commands that talk to a server, and serve itself: discovery, apply, run, ports, permissions."""
import json
import os
import signal
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from harness import wait_for


@pytest.fixture
def cli(bin_dir, server):
    def run(*args, expect=0, env=None, stdin=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        done = subprocess.run([bin_dir / "tidegate", *map(str, args)], capture_output=True, text=True, timeout=120,
                              input=stdin, env=clean | {"TIDEGATE_DATA": str(server.data_dir)} | (env or {}))
        assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
    return run


@pytest.fixture
def job_file(server, tmp_path):
    (server.files / "a.csv").write_text("id,name\n1,x\n2,y\n")
    path = tmp_path / "jobs.yaml"
    path.write_text("""
sources:
  exports: {type: file, config: {path: "${FILES}/*.csv"}}
destinations:
  db: {type: sqlite, config: {path: "${FILES}/out.db"}}
jobs:
  copy:
    source: exports
    destination: db
    schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}
    timeout: 90m
""")
    return path


def test_apply_is_idempotent_and_prunes(cli, server, job_file):
    env = {"FILES": str(server.files)}
    dry = cli("apply", "-f", job_file, "--dry-run", env=env)
    assert "3 to create" in dry.stdout and server.api("GET", "/sync-jobs") == []
    cli("apply", "-f", job_file, env=env)
    assert "0 to create, 0 to change, 0 to delete, 3 unchanged" in cli("apply", "-f", job_file, env=env).stdout
    job_file.write_text(job_file.read_text().replace("90m", "2h"))
    changed = cli("apply", "-f", job_file, env=env).stdout
    assert 'timeout: "1h30m" → "2h"' in changed and "1 to change" in changed
    exported = cli("export").stdout
    again = job_file.with_name("again.yaml")
    again.write_text(exported)
    assert "0 to create, 0 to change, 0 to delete, 3 unchanged" in cli("apply", "-f", again, "--prune").stdout
    again.write_text("jobs: {}\n")
    assert "3 to delete" in cli("apply", "-f", again, "--prune").stdout
    assert server.api("GET", "/sync-jobs") == [] and server.api("GET", "/data-sources") == []


def test_apply_refuses_a_wrong_connection_before_the_first_change(cli, server, job_file):
    """Seen here: the source was made, then the destination refused."""
    job_file.write_text(job_file.read_text().replace("type: sqlite, config: {path", "type: sqlite, config: {paht"))
    done = cli("apply", "-f", job_file, env={"FILES": str(server.files)}, expect=2)
    assert 'destinations["db"].config.paht' in done.stderr and "did you mean 'path'?" in done.stderr
    assert server.api("GET", "/data-sources") == []


# what is wrong of the last of four resources, and what is said of it
LAST = {
    "outside the roots": ("destinations", "{type: sqlite, config: {path: /etc/out.db}}", "config.path", "outside the folders"),
    "the server's own store": ("destinations", "{type: sqlite, config: {path: '%s/tidegate.db'}}", "config.path",
                               "a file of the Tidegate server itself"),
    "no such connector": ("destinations", "{type: sqlit, config: {path: x.db}}", "type", "did you mean 'sqlite'?"),
    "a wrong setting": ("destinations", "{type: sqlite, config: {path: x.db, journalMode: maybe}}", "config.journalMode", "one of"),
    "a time that has passed": ("jobs", "{source: exports, destination: db, schedule: {at: '2020-01-01T00:00:00Z'}}", "schedule.at",
                               "in the past"),
}


@pytest.mark.parametrize("section, last, field, why", LAST.values(), ids=LAST.keys())
def test_apply_changes_nothing_when_the_last_change_is_wrong(cli, server, job_file, section, last, field, why):
    """Seen here: "3 of 4 changes were made"."""
    head = job_file.read_text()
    entry = "  zz: " + (last % server.data_dir if "%s" in last else last) + "\n"
    if section == "jobs":
        job_file.write_text(head + entry)
    else:
        before, after = head.split("jobs:")
        job_file.write_text(before + entry + "jobs:" + after)
    for arguments in (["--dry-run"], []):
        done = cli("apply", "-f", job_file, *arguments, env={"FILES": str(server.files)}, expect=2)
        assert "4 to create" in done.stdout
        assert f"{job_file}: the server refuses it; nothing was changed" in done.stderr
        assert f'{section}["zz"].{field}: ' in done.stderr and why in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 2, done.stderr
        for kind in ("/data-sources", "/destinations", "/sync-jobs"):
            assert server.api("GET", kind) == []


def test_apply_with_a_token_that_may_not_do_all_of_it_changes_nothing(cli, server, job_file, tmp_path):
    token = tmp_path / "token"
    token.write_text(json.loads(cli("token", "create", "op", "--role", "operator", "-o", "json").stdout)["token"])
    server.create_job("kept", server.csv_to_sqlite())
    job_file.write_text(job_file.read_text() + "  kept:\n    source: exports\n    destination: db\n    enabled: false\n")
    done = cli("apply", "-f", job_file, "--token-file", token, env={"FILES": str(server.files)}, expect=2)
    assert 'sources["exports"]: token \'op\' has the role operator' in done.stderr, done.stderr
    assert server.api("GET", "/sync-jobs")[0]["enabled"] is True


def test_jobs_that_can_never_run_are_refused(cli, server, tmp_path):
    """Seen here: they were taken, and each of their runs failed."""
    (server.files / "csv").mkdir()
    (server.files / "csv/a.csv").write_text("id\n1\n")
    sqlite3.connect(server.files / "one.db").close()
    for kind in ("sources", "destinations"):
        cli(kind, "add", "folder", "--type", "file", "-c", f"path={server.files}/csv")
        cli(kind, "add", "db", "--type", "sqlite", "-c", f"path={server.files}/one.db")
    refused = {("folder", "folder", "full"): "destinationDatabaseId (--destination)",
               ("db", "db", "full"): "destinationDatabaseId (--destination)",
               ("db", "folder", "incremental"): "syncMode (--mode)"}
    for (source, destination, mode), field in refused.items():
        done = cli("jobs", "create", "--name", "j", "--source", source, "--destination", destination, "--mode", mode, expect=2)
        assert f"{field}: " in done.stderr, done.stderr
        path = tmp_path / "jobs.yaml"
        path.write_text(f"jobs:\n  j: {{source: {source}, destination: {destination}, syncMode: {mode}}}\n")
        done = cli("apply", "-f", path, expect=2)
        assert f'; nothing was changed\n  jobs["j"].{field.split()[0]}: ' in done.stderr, done.stderr
    assert server.api("GET", "/sync-jobs") == []
    path.write_text("jobs:\n  j: {source: db, destination: folder, syncMode: incremental_append}\n")
    done = cli("apply", "-f", path, "-o", "json")
    assert 'warning: job "j": no cursor is known' in done.stderr
    change, = json.loads(done.stdout)["changes"]
    assert change["made"] is True and "no cursor is known" in change["warnings"][0], change


def test_waiting_in_a_pipe_tells_the_states(cli, server):
    """Seen here: nothing was said between two attempts."""
    (server.files / "a.csv").write_text("id\n1\n")
    server.create_job("copy", server.csv_to_sqlite())
    said = cli("jobs", "run", "copy", "--wait").stderr.splitlines()
    assert said[0].startswith("run ") and said[-1] == "succeeded", said
    assert set(said[1:]) <= {"queued", "running, attempt 1", "succeeded"}, said


def test_a_job_from_the_command_line_runs(cli, server):
    (server.files / "a.csv").write_text("id,name\n1,x\n2,y\n")
    cli("sources", "add", "files", "--type", "file", "-c", f"path={server.files}/*.csv")
    cli("destinations", "add", "warehouse", "--type", "sqlite", "-c", f"path={server.files}/out.db")
    assert json.loads(cli("sources", "check", "files", "-o", "json").stdout)["ok"] is True
    assert "a" in cli("sources", "discover", "files").stdout
    cli("jobs", "create", "--name", "copy", "--source", "files", "--destination", "warehouse", "--cron", "0 3 * * *")
    done = cli("jobs", "run", "copy", "--wait", "-o", "json")
    run = json.loads(done.stdout)
    assert run["state"] == "succeeded" and run["entities"][0]["rowsWritten"] == 2
    with closing(sqlite3.connect(server.files / "out.db")) as db:
        assert db.execute("select count(*) from a").fetchone() == (2,)
    assert json.loads(cli("runs", "list", "--job", "copy", "-o", "json").stdout)[0]["id"] == run["id"]
    cli("jobs", "logs", "copy")
    cli("runs", "logs", run["id"], "-f")
    assert "paused" in cli("jobs", "pause", "copy", "--note", "later").stdout
    cli("jobs", "resume", "copy")
    cli("jobs", "edit", "copy", "--timezone", "Asia/Tokyo")
    assert json.loads(cli("jobs", "get", "copy", "-o", "json").stdout)["schedule"]["timezone"] == "Asia/Tokyo"
    cli("jobs", "status", "copy")
    assert "files" in cli("jobs", "reset", "copy").stdout
    assert len(cli("jobs", "next", "copy", "-n", "3").stdout.splitlines()) == 4
    assert run["id"] in cli("jobs", "history", "copy").stdout
    cli("jobs", "slots", "copy")
    cli("workspaces", "create", "team")
    cli("token", "create", "ci", "--workspaces", "team")
    assert "team" in cli("token", "list").stdout
    cli("workspaces", "delete", "team")
    assert len(cli("workers", "list").stdout.splitlines()) == 2
    assert "in use" in cli("sources", "delete", "files", expect=1).stderr
    cli("jobs", "delete", "copy")
    listed = cli("runs", "list").stdout
    assert run["id"] in listed and "copy (deleted)" in listed
    cli("sources", "delete", "files")
    assert 'did you mean "warehouse"?' in cli("destinations", "check", "warehuose", expect=2).stderr


def test_tokens_and_login(cli, server, tmp_path):
    made = json.loads(cli("token", "create", "ci", "--role", "viewer", "-o", "json").stdout)
    home = {"HOME": str(tmp_path / "home"), "TIDEGATE_DATA": str(tmp_path / "nothing")}
    login = cli("login", server.url, stdin=made["token"] + "\n", env=home)
    assert made["token"] not in login.stdout + login.stderr
    kept = tmp_path / "home/.config/tidegate/login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    env = {"HOME": str(tmp_path / "home")}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    listed = subprocess.run([server.bin_dir / "tidegate", "jobs", "list", "-o", "json"], env=clean | env,
                            capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0 and json.loads(listed.stdout) == [], listed.stderr
    refused = subprocess.run([server.bin_dir / "tidegate", "token", "list"], env=clean | env, capture_output=True,
                             text=True, timeout=60)
    assert refused.returncode == 2
    cli("token", "revoke", "ci")
    assert cli("login", server.url, stdin="wrong-token\n", env=home, expect=2)


def test_a_server_that_is_away_is_named_with_the_fix(cli, server):
    server.stop()
    done = cli("jobs", "list", expect=2)
    assert "tidegate serve" in done.stderr
    done = cli("jobs", "list", "--server", "http://127.0.0.1:9", expect=1)
    assert "http://127.0.0.1:9" in done.stderr and "--server" in done.stderr


def test_a_busy_port_names_the_port_and_the_remedy(bin_dir, server, tmp_path):
    address = server.url.removeprefix("http://")
    done = subprocess.run([bin_dir / "tidegate", "serve", "--data", tmp_path / "other", "--listen", address],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert address in done.stderr and "--listen" in done.stderr


def test_files_of_the_data_folder_are_private_and_server_json_goes(server):
    for name in ("admin-token", "secret-key", "server.json", "tidegate.db"):
        assert stat.S_IMODE((server.data_dir / name).stat().st_mode) == 0o600, name
    assert server.token not in server.log_text(), "the token is shown only on a terminal"
    process = server.process
    server.signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not (server.data_dir / "server.json").exists()


def test_a_worker_and_an_api_of_their_own(make_server, tmp_path):
    api = make_server(command="api")
    worker = make_server(command="worker")
    (api.files / "a.csv").write_text("id\n1\n")
    job = api.create_job("split", api.csv_to_sqlite())
    assert api.wait_run(api.run_now(job["id"]))["state"] == "succeeded"
    assert worker.process.poll() is None


def test_the_token_of_the_environment_is_used(make_server):
    server = make_server(env={"TIDEGATE_ADMIN_TOKEN": "canary-admin-token-1"})
    assert server.request("GET", "/api/tokens", token="canary-admin-token-1").status_code == 200
    assert not (server.data_dir / "admin-token").exists()
    assert "canary-admin-token-1" not in server.log_text()


def test_a_crash_leaves_no_core(server):
    """Symptom: a crash leaves a core with secrets."""
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    line = next(l for l in limits.splitlines() if l.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_a_second_worker_needs_no_port_of_its_own(server, bin_dir):
    """A standby beside a server on the same store starts without being told a port."""
    worker = subprocess.Popen([bin_dir / "tidegate", "worker", "--data", server.data_dir], env=server.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in worker.stderr:
            if "listening" in line:
                break
        else:
            pytest.fail("the worker ended")
        wait_for(lambda: len(server.api("GET", "/api/workers")) == 2, "both workers are listed")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert len(server.api("GET", "/api/workers")) == 1


def test_of_two_servers_on_one_folder_the_cli_finds_one_that_lives(make_server):
    """Seen here: the second one overwrote server.json and removed it at its end."""
    first = make_server()
    second = make_server(data_dir=first.data_dir, command="api")
    named = lambda: json.loads((first.data_dir / "server.json").read_text())["url"]
    assert named() == first.url
    second.stop()
    assert named() == first.url
    third = make_server(data_dir=first.data_dir, command="api")
    first.kill()
    wait_for(lambda: named() == third.url, "the living one is named")


def test_a_stopped_server_gives_its_place_to_one_that_answers(server, make_server, cli):
    """Seen here: server.json named a stopped server for ever, and the CLI waited for it."""
    second = make_server(data_dir=server.data_dir, command="api")
    server.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: json.loads((server.data_dir / "server.json").read_text())["url"] == second.url,
                 "the server that answers is named")
        cli("jobs", "list")
    finally:
        server.signal(signal.SIGCONT)


def test_sighup_reads_the_log_level_again(make_server, tmp_path):
    config = tmp_path / "tidegate.yaml"
    config.write_text("log: {level: info}\n")
    server = make_server(args=["--config", config])
    config.write_text("log: {level: debug}\n")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "configuration read again" in server.log_text(), "the configuration is read again")
    server.api("GET", "/sync-jobs")
    wait_for(lambda: '"level":"debug"' in server.log_text(), "debug lines")
    config.write_text("log: {level: loud}\n")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "was not read again" in server.log_text(), "a wrong file is refused")
    assert server.process.poll() is None
