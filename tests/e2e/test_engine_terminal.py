"""`tidegate sync` driven by a person at a terminal of its own."""
import fcntl
import json
import os
import pty
import signal
import sqlite3
import subprocess
import termios
from contextlib import closing

import pytest

ROWS = 1_000_000


class Terminal:
    """A command whose controlling terminal this is."""

    def __init__(self, args, cwd):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(args, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = b""

    def read(self):
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # how a terminal says that its last writer has gone
            piece = b""
        self.seen += piece
        return piece

    def until(self, text):
        while text not in self.seen:
            assert self.read(), f"ended without {text}: {self.seen.decode()}"

    def end(self):
        while self.read():
            pass
        os.close(self.master)
        return self.process.wait(60)


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(bin_dir, tmp_path):
    source = tmp_path / "big.csv"
    source.write_text("id,name\n1,old\n")
    args = [bin_dir / "tidegate", "sync", "big.csv", "out.db"]
    first = Terminal(args, tmp_path)
    assert first.end() == 0, first.seen.decode()
    source.write_text("id,name\n" + "".join(f"{i},name {i}\n" for i in range(ROWS)))
    stopped = Terminal(args, tmp_path)
    stopped.until(b" rows")  # a bar: the engine is at work
    os.write(stopped.master, b"\x03")
    code = stopped.end()
    text = stopped.seen.decode()
    assert code == 130 and "stopping; what was committed stays" in text and "cancelled" in text, text
    assert "no row of this run was committed" in text
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select * from big").fetchall() == [(1, "old")]
    again = Terminal(args, tmp_path)
    assert again.end() == 0, again.seen.decode()
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select count(*), count(distinct id) from big").fetchone() == (ROWS, ROWS)


def sync(bin_dir, cwd, *args, **kwargs):
    return subprocess.run([bin_dir / "tidegate", "sync", *map(str, args)], cwd=cwd, text=True, timeout=120,
                          stdout=kwargs.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **kwargs)


@pytest.mark.parametrize("content, code", [("id\n1\n", 0), ("id,id\n1,2\n", 1), (None, 2)])
def test_the_last_line_and_the_process_give_one_code(bin_dir, tmp_path, content, code):
    if content:
        (tmp_path / "a.csv").write_text(content)
    done = sync(bin_dir, tmp_path, "*.csv", "out.db")
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["code"] == code


def test_ctrl_c_of_an_ordered_load_keeps_its_checkpoints_and_says_so(bin_dir, tmp_path):
    """Symptom: a long first load that was stopped kept nothing and was reported as written."""
    with closing(sqlite3.connect(tmp_path / "in.db")) as db:
        db.execute("create table big (id integer primary key, name text)")
        db.executemany("insert into big values (?, ?)", ((i, f"name {i}") for i in range(ROWS * 2)))
        db.commit()
    args = ["in.db", "out.db", "--incremental", "--cursor", "id"]
    process = subprocess.Popen([bin_dir / "tidegate", "sync", *args], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    for line in process.stdout:
        if json.loads(line).get("rowsWritten", 0) > 250_000:  # the first checkpoint is behind it
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    result = json.loads(out.splitlines()[-1])
    written = result["entities"][0]["rowsWritten"]
    assert result["code"] == 130 and 0 < written < ROWS * 2
    assert f"{written} rows were committed" in err
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select count(*) from big").fetchone() == (written,)
    again = sync(bin_dir, tmp_path, *args)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["entities"][0]["rowsWritten"] == ROWS * 2 - written
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select count(*), count(distinct id) from big").fetchone() == (ROWS * 2, ROWS * 2)


def interview(bin_dir, folder, keys, *args):
    """The exit code and the screen of `tidegate sync -i` after these keys."""
    terminal = Terminal([bin_dir / "tidegate", "sync", "-i", *args], folder)
    os.write(terminal.master, keys)
    return terminal.end(), terminal.seen.decode()


def test_interactive_shows_the_columns_and_asks_again_after_a_wrong_answer(bin_dir, tmp_path):
    """Symptom: -i asked for cursor and key without naming the columns, and ended at the first wrong answer."""
    with closing(sqlite3.connect(tmp_path / "in.db")) as db:
        db.execute("create table t (id integer primary key, paid boolean, updated_at timestamp)")
        db.execute("insert into t values (1, 1, '2026-01-01 00:00:00')")
        db.commit()
    code, text = interview(bin_dir, tmp_path, b"no.db\nin.db\nout\nout.db\nincr\nincremental\nupdated\npaid\n\n\n")
    assert code == 0, text
    for part in ("no.db", "out/ for a folder", "the mode must be full, full_append, incremental or incremental_append",
                 "Columns of t:", ", primary key", "every change [updated_at]: ", 'no column "updated"',
                 'the column "paid" is true or false and cannot be a cursor', "commas [id]: "):
        assert part in text, f"{part}\n{text}"
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select id from t").fetchall() == [(1,)]
    # The same job as without questions.
    done = sync(bin_dir, tmp_path, "in.db", "out.db", "--incremental", "--cursor", "updated_at")
    assert json.loads(done.stdout.splitlines()[-1])["entities"][0]["rowsDeduplicated"] == 1, done.stdout


def test_interactive_asks_again_where_only_another_answer_shows_what_is_wrong(bin_dir, tmp_path):
    """Seen here: -i gave up with all answers; a path in quotes was a file of that name."""
    with closing(sqlite3.connect(tmp_path / "in.db")) as db:
        db.execute("create table t (id integer primary key, at text)")
        db.execute("insert into t values (1, '2026-01-01')")
        db.commit()
    code, text = interview(bin_dir, tmp_path, b"'in.db'\nin.db\n\"out dir/\"\nincremental\nincremental_append\nat\n")
    assert code == 0, text
    for part in ("would write into what the data source", "use full, full_append or incremental_append",
                 "text, as a cursor compared letter by letter"):
        assert part in text, f"{part}\n{text}"
    assert (tmp_path / "out dir/t.csv").read_text().splitlines() == ["id,at", "1,2026-01-01"]
    code, text = interview(bin_dir, tmp_path, b"t\nat\n\n", "in.db", "new.db", "nope", "--incremental")
    assert code == 0 and "give another SOURCE or ENTITY" in text and "There are:\r\n  t\r\n" in text, text


@pytest.mark.parametrize("key", [b"\x03", b"\x04"])
def test_ctrl_c_and_the_end_of_the_input_end_the_questions(bin_dir, tmp_path, key):
    (tmp_path / "a.csv").write_text("id\n1\n")
    terminal = Terminal([bin_dir / "tidegate", "sync", "-i"], tmp_path)
    os.write(terminal.master, b"a.csv\n")
    terminal.until(b"Copy to")
    os.write(terminal.master, key)
    code = terminal.end()
    text = terminal.seen.decode()
    assert code == 130 and "nothing was done" in text, text
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_dashes_end_the_options(bin_dir, tmp_path):
    (tmp_path / "-odd.csv").write_text("id\n1\n")
    assert sync(bin_dir, tmp_path, "--", "-odd.csv", "out.db").returncode == 0
    done = sync(bin_dir, tmp_path, "--dry-run", "--", "-odd.csv", "out.db", "-o*")
    assert done.returncode == 0, done.stderr
    done = sync(bin_dir, tmp_path, "--", "-odd.csv", "out.db", "--dry-run")
    assert done.returncode == 2 and 'no entity "--dry-run"' in done.stderr


@pytest.mark.parametrize("mode", [["--incremental"], ["--mode", "incremental_append"]])
def test_incremental_without_a_cursor_names_the_option_and_writes_nothing(bin_dir, tmp_path, mode):
    (tmp_path / "a.csv").write_text("id\n1\n")
    done = sync(bin_dir, tmp_path, "a.csv", "out.db", *mode)
    assert done.returncode == 2 and "--cursor" in done.stderr
    assert not (tmp_path / "out.db").exists()


def test_a_text_cursor_that_grows_otherwise_than_its_letters_fails_before_a_row_is_lost(bin_dir, tmp_path):
    """Symptom: 10/1/2026 after 9/30/2026 was left out of every run, and nothing said so."""
    (tmp_path / "a.csv").write_text("id,day\n1,9/29/2026\n2,9/30/2026\n")
    args = ["a.csv", "out.db", "--incremental", "--cursor", "day", "--key", "id"]
    done = sync(bin_dir, tmp_path, *args)
    assert done.returncode == 0, done.stderr
    (tmp_path / "a.csv").write_text("id,day\n1,9/29/2026\n2,9/30/2026\n3,10/1/2026\n")
    for extra in (["--dry-run"], []):
        done = sync(bin_dir, tmp_path, *args, *extra)
        assert done.returncode == 1, done.stdout
        for part in ('entity "a"', 'cursor "day"', '"10/1/2026" comes after "9/30/2026"', "mode full"):
            assert part in done.stderr, done.stderr
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select id from a").fetchall() == [(1,), (2,)]
    done = sync(bin_dir, tmp_path, "a.csv", "full.db")
    assert done.returncode == 0, done.stderr


def test_rows_that_share_a_key_are_told(bin_dir, tmp_path):
    """Symptom: dropped without a word, counted as read again, and no dry run knew of them."""
    (tmp_path / "a.csv").write_text("id,v\n1,a\n2,b\n1,c\n")
    for extra, state in ((["--dry-run"], "dry run"), ([], "succeeded")):
        done = sync(bin_dir, tmp_path, "a.csv", "out.db", "--key", "id", *extra)
        assert done.returncode == 0, done.stderr
        entity = json.loads(done.stdout.splitlines()[-1])["entities"][0]
        assert (entity["rowsRead"], entity["rowsSuperseded"], entity["rowsDeduplicated"]) == (3, 1, 0)
        assert "1 row(s) share their key (id)" in entity["warnings"][0] and "--key" in entity["warnings"][0]
        shown = sync(bin_dir, tmp_path, "a.csv", "table.db", "--key", "id", "-o", "table", *extra)
        assert "SUPERSEDED" in shown.stdout and f"a       {state}" in shown.stdout, shown.stdout
        assert "warning: a: 1 row(s) share their key" in shown.stderr


def test_the_name_of_a_file_is_no_destination_and_a_source_is_not_its_own(bin_dir, tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n")
    done = sync(bin_dir, tmp_path, "a.csv", "out.csv")
    assert done.returncode == 2 and "give a folder" in done.stderr
    assert not (tmp_path / "out.csv").exists()
    done = sync(bin_dir, tmp_path, "a.csv", "./", "--take-over")
    assert done.returncode == 2 and "source.path" in done.stderr and "destination.path" in done.stderr
    assert (tmp_path / "a.csv").read_text() == "id\n1\n"


def test_the_engine_says_when_nobody_can_read_it(bin_dir, tmp_path):
    for binary, args in (("tidegate-sync", ["--version"]), ("tidegate-sync", ["--help"])):
        with open("/dev/full", "w") as full:
            done = subprocess.run([bin_dir / binary, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 1 and "cannot write to standard output" in done.stderr
    (tmp_path / "a.csv").write_text("id\n1\n")
    with open("/dev/full", "w") as full:
        done = sync(bin_dir, tmp_path, "a.csv", "out.db", stdout=full)
    assert done.returncode == 1 and "cannot write to standard output" in done.stderr
