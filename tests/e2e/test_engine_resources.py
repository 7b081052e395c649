"""What a run takes of the machine, whatever the length of what it reads."""
import ctypes
import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing

# Short ones, and many, so that what is kept of each row would be seen. The first file fills most of SQLite's page
# cache (32 MiB).
ROWS = 400_000
MIB = 1 << 20
IN_CREATE = 0x100  # inotify(7)

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(bin_dir, cwd, *args):
    """Of the greatest process of a `tidegate sync`: the engine."""
    done = subprocess.run([sys.executable, "-c", PEAK, bin_dir / "tidegate", "sync", *args], cwd=cwd, text=True,
                          stdout=subprocess.PIPE, check=True)
    return int(done.stdout) * 1024


def test_memory_is_flat_when_the_file_is_ten_times_longer(bin_dir, tmp_path):
    lines = "".join(f"{i},name {i % 1000},{i % 10**5}.25,2026-01-{1 + i % 28:02d},{'text ' * 2}\n" for i in range(ROWS))
    peaks = []
    for times in (1, 10):
        with open(tmp_path / "t.csv", "w") as f:
            f.write("id,name,amount,day,note\n")
            for _ in range(times):
                f.write(lines)
        peaks.append(peak_bytes(bin_dir, tmp_path, "t.csv", "out.db"))
        with closing(sqlite3.connect(tmp_path / "out.db")) as db:
            assert db.execute("select count(*) from t").fetchone() == (ROWS * times,)
    assert peaks[1] < peaks[0] + 40 * MIB, f"{peaks[0] / MIB:.0f} MiB, then {peaks[1] / MIB:.0f} MiB"


def test_a_merge_collects_its_rows_in_tmpdir(bin_dir, tmp_path):
    """Seen here: the error of a full temporary folder named a variable that does not reach the engine."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [bin_dir / "tidegate", "sync", "t.csv", "out.db", "--incremental", "--cursor", "id", "--key", "id"]
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert libc.inotify_add_watch(watch, bytes(folder), IN_CREATE) >= 0
    for rows in (1, 50_000):  # the first load replaces
        (tmp_path / "t.csv").write_text("id,name\n" + "".join(f"{i},{'name ' * 20}\n" for i in range(rows)))
        subprocess.run(command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(folder)}, check=True, timeout=120,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = os.read(watch, 4096)
    os.close(watch)
    length = struct.unpack_from("iIII", seen)[3]
    assert seen[16:16 + length].startswith(b"etilqs_"), seen  # SQLite's own temporary files
