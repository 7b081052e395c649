"""The commands that need no server: cron, config, version, sync, doctor; and what bad input gets."""
import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing

import pytest


def run(bin_dir, *args, cwd=None, env=None, stdin=None, expect=0):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    done = subprocess.run([bin_dir / "tidegate", *map(str, args)], cwd=cwd, env=clean | (env or {}), input=stdin,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def csv_files(tmp_path):
    (tmp_path / "data").mkdir()
    for name, rows in (("a", 3), ("b", 5)):
        (tmp_path / "data" / f"{name}.csv").write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in range(rows)))
    return tmp_path


def counts(path):
    with closing(sqlite3.connect(path)) as db:
        return {t: db.execute(f"select count(*) from {t}").fetchone()[0] for t in ("a", "b")}


def test_version_and_help_need_no_home(bin_dir, tmp_path):
    assert run(bin_dir, "version", env={"HOME": str(tmp_path / "none")}).stdout.startswith("tidegate ")
    assert "sync" in run(bin_dir, "--help").stdout
    assert "--take-over" in run(bin_dir, "sync", "--help").stdout


@pytest.mark.parametrize("args", [["--help"], ["cron", "next", "0 * * * *", "-n", "3"], ["config"]])
def test_an_answer_that_cannot_be_written_is_a_failure(bin_dir, tmp_path, args):
    with open("/dev/full", "w") as full:
        done = subprocess.run([bin_dir / "tidegate", *args], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert "cannot write to standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe"])
def test_cron_next_does_not_depend_on_the_process_zone(bin_dir, zone):
    """Symptom: the host's time zone changes when a job fires (node-cron 3)."""
    out = run(bin_dir, "cron", "next", "30 2 * * *", "--timezone", "America/New_York", "--after",
              "2026-03-07T12:00:00Z", "-n", "3", env={"TZ": zone}).stdout
    assert out.split() == ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00", "2026-03-10T02:30:00-04:00"]


@pytest.mark.parametrize("args, text", [
    (["cron", "next", "61 * * * *"], "minute"),
    (["cron", "next", "* * * * *", "--timezone", "America/New_Yrok"], "America/New_York"),
    (["cron", "next", "* * * * *", "--after", "yesterday"], "RFC 3339"),
    (["jbos"], "did you mean \"jobs\"?"),
    (["f\x1b[2Jo"], r'there is no command "f\x1b[2Jo"'),
    (["sync", "x.csv", "y.db", "--mdoe", "full"], "did you mean \"--mode\"?"),
    (["sync", "nothing-here", "y.db"], "there is no file"),
    (["sync"], "SOURCE is required"),
    (["serve", "--listen", "8080"], "HOST:PORT"),
    (["serve", "--store", "mysql://u:canary-pw@h/db"], "no known kind of store"),
    (["serve", "--store", "postgres://u:canary-pw@h/db?sslmod=require"], "sslmod"),
    (["serve", "--store", "mongodb://u:canary-pw@h:port/db"], "mongodb://"),
    (["serve", "--store", "postgres://u:x@canary-pw/x@h/db"], "percent-encoded"),
    (["migrate", "--store", "mongodb://u:x/canary-pw@h/db"], "percent-encoded"),
    (["serve", "--store", "mongodb://u@h/db?replicasett=x"], "replicasett"),
    (["serve", "--store", "postgres://u@h/db?sslrootcert=/nope.pem"], "/nope.pem"),
    (["config", "--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
])
def test_bad_input_is_exit_code_2_and_says_what_to_do(bin_dir, tmp_path, args, text):
    done = run(bin_dir, *args, cwd=tmp_path, env={"HOME": str(tmp_path)}, expect=2)
    assert text in done.stderr
    assert "canary-pw" not in done.stderr + done.stdout


def test_unknown_keys_of_the_file_are_refused_by_name(bin_dir, tmp_path):
    (tmp_path / "tidegate.yaml").write_text("listne: 127.0.0.1:1\nworker: {drain: soon}\n")
    done = run(bin_dir, "config", cwd=tmp_path, expect=2)
    assert "did you mean 'listen'?" in done.stderr and "worker.drain" in done.stderr


def test_config_shows_values_and_origins_but_no_secret(bin_dir, tmp_path):
    out = run(bin_dir, "config", "--output", "json", cwd=tmp_path,
              env={"TIDEGATE_LISTEN": "127.0.0.1:7", "TIDEGATE_ADMIN_TOKEN": "canary-token-0123456789"}).stdout
    rows = {r["name"]: r for r in json.loads(out)}
    assert rows["listen"]["value"] == "127.0.0.1:7" and rows["listen"]["from"] == "TIDEGATE_LISTEN"
    assert rows["admin.token"]["value"] == "***" and "canary" not in out


def test_sync_in_a_pipe_gives_json_lines_and_the_result_last(bin_dir, csv_files):
    done = run(bin_dir, "sync", "data/*.csv", "out.db", cwd=csv_files)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    result = lines[-1]
    assert result["type"] == "result" and result["code"] == 0
    assert {e["entity"]: e["rowsWritten"] for e in result["entities"]} == {"a": 3, "b": 5}
    assert counts(csv_files / "out.db") == {"a": 3, "b": 5}
    assert f"file {csv_files}/data/*.csv" in done.stderr and f"sqlite {csv_files}/out.db" in done.stderr


def test_sync_again_is_the_same_job(bin_dir, csv_files):
    for _ in range(2):
        run(bin_dir, "sync", "data/*.csv", "sqlite:out.db", cwd=csv_files)
    assert counts(csv_files / "out.db") == {"a": 3, "b": 5}


def test_an_empty_job_is_not_the_default_one(bin_dir, csv_files):
    done = run(bin_dir, "sync", "data/*.csv", "out.db", "--job", "", cwd=csv_files, expect=2)
    assert "--job is empty" in done.stderr and not (csv_files / "out.db").exists()


def test_sync_only_the_named_entities(bin_dir, csv_files):
    done = run(bin_dir, "sync", "data", f"sqlite://{csv_files}/out.db", "b", cwd=csv_files)
    assert [e["entity"] for e in json.loads(done.stdout.splitlines()[-1])["entities"]] == ["b"]


def test_sync_of_names_from_a_file_with_variables(bin_dir, csv_files):
    (csv_files / "c.yaml").write_text("sources:\n  in: {type: file, config: {path: \"${WHERE}/*.csv\"}}\n"
                                      "destinations:\n  out: {type: sqlite, config: {path: out.db}}\n"
                                      "jobs: {}\n")  # a file for apply will do
    run(bin_dir, "sync", "in", "out", "--config", "c.yaml", cwd=csv_files, env={"WHERE": str(csv_files / "data")})
    assert counts(csv_files / "out.db") == {"a": 3, "b": 5}
    missing = run(bin_dir, "sync", "in", "out", "--config", "c.yaml", cwd=csv_files, expect=2)
    assert "sources.in.config.path: the environment variable WHERE is not set" in missing.stderr


def test_what_another_connection_of_the_file_lacks_is_no_matter(bin_dir, csv_files):
    """Symptom: an unset variable of a connection that was not used blocked all others."""
    (csv_files / "c.yaml").write_text("sources:\n  in: {type: file, config: {path: data}}\n  empty: {type: file, config: {}}\n"
                                      "  other: {type: file, config: {path: \"${NOT_SET}\"}}\n"
                                      "destinations:\n  out: {type: sqlite, config: {path: out.db}}\n  bad: {type: sqlite, config: {}}\n"
                                      "  other: {type: sqlite, config: {path: \"${NOT_SET}\"}}\n")
    run(bin_dir, "sync", "in", "out", "--config", "c.yaml", cwd=csv_files)
    assert counts(csv_files / "out.db") == {"a": 3, "b": 5}
    for args, texts in ((("empty", "out"), ("source.config.path: is missing", "the source is file (empty in c.yaml)")),
                        (("in", "bad"), ("destination.config.path: is missing", "the destination is sqlite (bad in c.yaml)"))):
        done = run(bin_dir, "sync", *args, "--config", "c.yaml", cwd=csv_files, expect=2)
        assert all(text in done.stderr for text in texts), done.stderr


def test_a_folder_that_is_to_be_made_is_written_with_a_slash(bin_dir, csv_files):
    done = run(bin_dir, "sync", "data", "outdir", cwd=csv_files, expect=2)
    assert "Write outdir/ for a folder of CSV files" in done.stderr
    run(bin_dir, "sync", "data", "outdir/", cwd=csv_files)
    assert (csv_files / "outdir" / "a.csv").read_text() == (csv_files / "data" / "a.csv").read_text()
    assert "outdir/" in run(bin_dir, "sync", "--help").stdout


def test_sync_dry_run_writes_nothing(bin_dir, csv_files):
    run(bin_dir, "sync", "data/*.csv", "out.db", "--dry-run", cwd=csv_files)
    path = csv_files / "out.db"
    if path.exists():
        with closing(sqlite3.connect(path)) as db:
            assert ("a",) not in db.execute("select name from sqlite_master").fetchall()
    run(bin_dir, "sync", "data/*.csv", "out.db", cwd=csv_files)
    before = {p.name: p.read_bytes() for p in csv_files.iterdir() if p.is_file()}
    run(bin_dir, "sync", "data/*.csv", "out.db", "--dry-run", cwd=csv_files)
    # Seen here: out.db-wal and out.db-shm, which then belonged to whoever tried it.
    assert {p.name: p.read_bytes() for p in csv_files.iterdir() if p.is_file()} == before


def test_sync_dry_run_counts_what_the_run_would_reject(bin_dir, tmp_path):
    """Symptom: exit 0 and no rejected row, and then the run failed."""
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
    for options, code in (((), 1), (("--max-rejected", "1"), 1), (("--max-rejected", "2"), 0), (("--limit", "1"), 1)):
        for dry in (["--dry-run"], []):
            done = run(bin_dir, "sync", "ragged.csv", f"out{len(options)}{code}.db", *options, *dry, cwd=tmp_path, expect=code)
            entity = json.loads(done.stdout.splitlines()[-1])["entities"][0]
            assert entity["rowsRejected"] == 2
            assert ("--max-rejected N" in done.stderr) == bool(code)
            assert code == 0 or "ragged.csv line 3: it has 1 field" in done.stderr


def test_a_pattern_without_quotes_is_pointed_at(bin_dir, csv_files):
    """Seen here: the second file became the destination."""
    done = run(bin_dir, "sync", "data/a.csv", "data/b.csv", "out.db", cwd=csv_files, expect=2)
    assert "tidegate sync 'data/*.csv' out.db" in done.stderr
    assert not (csv_files / "out.db").exists()


def test_sync_can_do_what_the_engines_errors_tell(bin_dir, tmp_path):
    """Seen here: "reset the job", "exclude the column", "set schemaChange": no option did."""
    with closing(sqlite3.connect(tmp_path / "in.db")) as db:
        db.executescript("create table t (id integer primary key, at integer, secret text); insert into t values (1, 1, 's')")
    command = ["sync", "in.db", "out.db", "--incremental", "--cursor", "at", "--exclude-columns", "secret"]

    def rows():
        with closing(sqlite3.connect(tmp_path / "out.db")) as db:
            return db.execute("select * from t order by id").fetchall()

    for written in (1, 0):
        done = run(bin_dir, *command, cwd=tmp_path)
        assert json.loads(done.stdout.splitlines()[-1])["entities"][0]["rowsWritten"] == written
    assert [len(row) for row in rows()] == [2]
    for _ in range(2):  # a second reset is one again
        done = run(bin_dir, *command, "--reset", cwd=tmp_path)
        assert json.loads(done.stdout.splitlines()[-1])["entities"][0]["rowsWritten"] == 1
    with closing(sqlite3.connect(tmp_path / "in.db")) as db:
        db.executescript("alter table t add column more text; insert into t values (2, 2, 's', 'm')")
    failed = run(bin_dir, *command, "--schema-change", "fail", cwd=tmp_path, expect=2)
    assert "more" in failed.stderr
    run(bin_dir, *command, "--schema-change", "ignore", cwd=tmp_path)
    assert [len(row) for row in rows()] == [2, 2]
    server_job = "0199a0b0-0000-7000-8000-000000000000"
    assert "jobs reset" in run(bin_dir, *command, "--reset", "--job", server_job, cwd=tmp_path, expect=2).stderr


def test_two_files_with_one_stem_are_an_error_that_names_both(bin_dir, csv_files):
    (csv_files / "data" / "a.tsv").write_text("id\tname\n1\tx\n")
    done = run(bin_dir, "sync", "data", "out.db", cwd=csv_files, expect=2)
    assert "a.csv" in done.stderr and "a.tsv" in done.stderr


def test_a_path_that_is_not_utf8_is_refused_with_a_remedy(bin_dir, csv_files):
    """Symptom: "not valid JSON at byte 96"."""
    odd = os.fsdecode(b"data/b\xff.csv")
    (csv_files / odd).write_text("id\n1\n")
    for args, word in ((["sync", odd, "x.db"], "SOURCE"), (["sync", "data/a.csv", os.fsdecode(b"o\xff.db")], "DESTINATION"),
                       (["sync", "data/*.csv", "x.db", os.fsdecode(b"b\xff")], "ENTITY")):
        done = run(bin_dir, *args, cwd=csv_files, expect=2)
        assert f"{word} " in done.stderr and "\\xff" in done.stderr and "rename" in done.stderr
    assert not (csv_files / "x.db").exists()
    done = run(bin_dir, "sync", "data/*.csv", "x.db", cwd=csv_files, expect=1)
    assert "data/b\\xff.csv' has a name that is not valid UTF-8" in done.stderr
    assert counts(csv_files / "x.db") == {"a": 3, "b": 5}


def test_a_password_that_is_not_utf8_is_not_shown(bin_dir, csv_files):
    """Seen here: a variable put it into the URL, and the message showed the URL."""
    done = run(bin_dir, "sync", "postgres://u:${PW}@h/db", "out.db", cwd=csv_files, expect=2,
               env={"PW": os.fsdecode(b"canary-pw\xe9")})
    assert "canary-pw" not in done.stdout + done.stderr
    assert "SOURCE" in done.stderr and "u:***@h/db" in done.stderr, done.stderr


def test_a_missing_engine_is_named(bin_dir, csv_files):
    done = run(bin_dir, "sync", "data/*.csv", "out.db", "--engine", "/no/such/engine", cwd=csv_files, expect=1)
    assert "/no/such/engine" in done.stderr


def test_a_password_in_argv_disappears_from_the_process_list(bin_dir, csv_files):
    """Symptom: secrets in the process list."""
    engine = csv_files / "engine"
    engine.write_text("#!/bin/sh\nexec cat <&3 >/dev/null\n")  # waits for the end of its parent
    engine.chmod(0o700)
    process = subprocess.Popen([bin_dir / "tidegate", "sync", "postgres://u:canary-pw@h/db", "out.db", "--engine",
                                engine], cwd=csv_files, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "a password on the command line" in process.stderr.readline()
    with open(f"/proc/{process.pid}/cmdline", "rb") as f:
        assert b"canary-pw" not in f.read()
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert "canary-pw" not in out + err


def test_ctrl_c_stops_resumably_with_130(bin_dir, tmp_path):
    (tmp_path / "big.csv").write_text("id,name\n" + "".join(f"{i},name {i}\n" for i in range(1_500_000)))
    process = subprocess.Popen([bin_dir / "tidegate", "sync", "big.csv", "out.db"], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["type"] == "result"
    run(bin_dir, "sync", "big.csv", "out.db", cwd=tmp_path)
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select count(*), count(distinct id) from big").fetchone() == (1_500_000, 1_500_000)


def on_terminal(args, cwd, typed=b""):
    """What the command wrote to a terminal of its own, and its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(args, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    os.write(master, typed)
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError:  # how a terminal says that its last writer has gone
        pass
    os.close(master)
    return seen.decode(), process.wait(60)


def test_a_terminal_gets_bars_and_a_table(bin_dir, csv_files):
    text, code = on_terminal([bin_dir / "tidegate", "sync", "data/*.csv", "out.db"], csv_files)
    assert code == 0, text
    assert "ENTITY" in text and "succeeded" in text and '"type"' not in text


def test_interactive_asks_for_what_is_missing(bin_dir, csv_files):
    text, code = on_terminal([bin_dir / "tidegate", "sync", "-i"], csv_files, b"data/*.csv\nout.db\n\n")
    assert code == 0, text
    assert "Copy from" in text and "Copy to" in text and "Mode" in text
    assert counts(csv_files / "out.db") == {"a": 3, "b": 5}
    done = run(bin_dir, "sync", "-i", cwd=csv_files, stdin="", expect=2)
    assert "needs a terminal" in done.stderr


def test_doctor_names_each_remedy(bin_dir, tmp_path):
    done = run(bin_dir, "doctor", "--data", tmp_path / "data", "--engine", "/no/such/engine", "--output", "json",
               expect=1)
    rows = {r["check"]: r for r in json.loads(done.stdout)}
    assert rows["sync engine"]["status"] == "failed" and "--engine" in rows["sync engine"]["remedy"]
    assert rows["clock"]["status"] == "ok"


def test_doctor_changes_no_store(bin_dir, tmp_path):
    """Seen here: a look at a store of an older version migrated it, beneath the server that was running on it."""
    data = tmp_path / "data"
    needed = json.loads(run(bin_dir, "migrate", "--data", data, "-o", "json").stdout)["needed"]
    store = sqlite3.connect(data / "tidegate.db", isolation_level=None)
    for change, version, status, remedy in (
            ("SELECT 1", needed, "ok", ""),
            (f"DELETE FROM schema_migrations WHERE version = {needed}", needed - 1, "warning", "tidegate migrate"),
            (f"INSERT INTO schema_migrations VALUES ({needed + 1}, 'new', 0)", needed + 1, "failed", "newer tidegate")):
        store.execute(change)
        # Without an engine, of which nothing is asked here.
        done = run(bin_dir, "doctor", "--data", data, "--engine", "/nope", "-o", "json", expect=1)
        row = next(r for r in json.loads(done.stdout) if r["check"] == "store")
        assert row["status"] == status and remedy in row["detail"] + row["remedy"], row
        assert store.execute("SELECT max(version) FROM schema_migrations").fetchone() == (version,)
    store.close()


def test_doctor_finds_what_serve_refuses(bin_dir, tmp_path):
    """Seen here: all ok, and serve did not start."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "admin-token").write_text("\n")
    (data / "admin-token").chmod(0o600)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        done = run(bin_dir, "doctor", "--data", data, "--listen", address, "--paths-roots", tmp_path / "none",
                   "--store", f"sqlite://{tmp_path}/no/x.db", "--engine", "/nope", "-o", "json", cwd=tmp_path, expect=1)
    rows = {r["check"]: r for r in json.loads(done.stdout)}
    for check, status, text in (("admin-token", "failed", "holds no token"), ("address", "failed", address),
                                ("paths.roots", "warning", "does not exist"), ("store", "failed", "does not exist"),
                                ("sync engine", "failed", "was not found at /nope")):
        assert rows[check]["status"] == status and text in rows[check]["detail"], rows[check]


@pytest.mark.parametrize("args, text", [
    (["--store", "sqlite:junk.db"], "is not an SQLite database"),
    (["--store", "sqlite:no/x.db"], "does not exist"),
    (["--store", "sqlite::memory:"], "would not be kept"),
    (["--tls-cert", "/nope", "--tls-key", "/nope"], "No such file"),
])
def test_what_serve_refuses_is_exit_code_2(bin_dir, tmp_path, args, text):
    """Seen here: exit code 1 for a store that is none, a folder made for a mistyped one."""
    (tmp_path / "junk.db").write_text("junk " * 100)
    done = run(bin_dir, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", *args, cwd=tmp_path, expect=2)
    assert text in done.stderr
    assert not (tmp_path / "no").exists()


def test_unknown_variables_are_told_of(bin_dir, tmp_path):
    """Seen here: `tidegate config` said nothing; serve said did you mean "-"."""
    env = {"TIDEGATE_LISTNE": "x", "TIDEGATE_QQQQQQQQQ": "x"}
    said = run(bin_dir, "config", cwd=tmp_path, env=env).stderr
    assert "TIDEGATE_LISTNE means nothing to this version; did you mean TIDEGATE_LISTEN?" in said
    assert "TIDEGATE_QQQQQQQQQ means nothing to this version\n" in said
    said = run(bin_dir, "serve", "--data", tmp_path / "data", "--tls-cert", "/nope", "--tls-key", "/nope", cwd=tmp_path,
               env=env, expect=2).stderr
    assert '"didYouMean":"TIDEGATE_LISTEN"' in said and '"-"' not in said


def test_the_help_of_a_worker_names_its_own_default(bin_dir):
    """Seen here: the help said 127.0.0.1:8080."""
    assert "127.0.0.1:8080" not in run(bin_dir, "worker", "--help").stdout
    assert "127.0.0.1:8080" in run(bin_dir, "serve", "--help").stdout


def test_a_hash_in_a_cron_expression_is_an_example_without_a_job(bin_dir):
    """Seen here: a time was explained that no job has."""
    assert "--job ID" in run(bin_dir, "cron", "explain", "H H * * *").stderr
    assert run(bin_dir, "cron", "explain", "H H * * *", "--job", "x").stderr == ""
    assert run(bin_dir, "cron", "explain", "0 3 * MAR THU").stderr == ""
