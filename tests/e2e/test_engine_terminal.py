"""`tidegate sync` driven by a person at a terminal of its own."""
import fcntl
import os
import pty
import sqlite3
import subprocess
import termios
from contextlib import closing

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
    assert code == 130 and "stopping at the next checkpoint" in text and "cancelled" in text, text
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select * from big").fetchall() == [(1, "old")]
    again = Terminal(args, tmp_path)
    assert again.end() == 0, again.seen.decode()
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("select count(*), count(distinct id) from big").fetchone() == (ROWS, ROWS)
