"""What systemd is told, and whether the server works inside the units' sandbox."""
import re
import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import BOUND, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


def directives(unit):
    """(name, value) of each line of [Service]."""
    section = unit.read_text().split("[Service]\n")[1].split("\n[")[0]
    return [tuple(line.split("=", 1)) for line in section.splitlines() if line and not line.startswith("#")]


@contextmanager
def service_manager(tmp_path):
    """A socket like systemd's; heard() is the next message."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(BOUND)
        yield listener


def hears(listener, *wanted):
    """The next message that has all of these lines; others may come before it."""
    while True:
        lines = listener.recv(4096).decode().splitlines()
        if all(any(re.fullmatch(w, line) for line in lines) for w in wanted):
            return lines


def test_systemd_hears_of_the_whole_life_of_a_server(make_server, tmp_path):
    with service_manager(tmp_path) as listener:
        server = make_server(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
        hears(listener, "STATUS=opening the store", r"EXTEND_TIMEOUT_USEC=\d+")
        hears(listener, "READY=1", "STATUS=" + re.escape(server.url))
        hears(listener, "WATCHDOG=1")
        server.signal(signal.SIGHUP)
        hears(listener, "RELOADING=1", r"MONOTONIC_USEC=\d+")
        hears(listener, "READY=1")
        server.signal(signal.SIGTERM)
        stopping = hears(listener, "STOPPING=1", r"EXTEND_TIMEOUT_USEC=\d+")
        assert server.process.wait(BOUND) == 0
        # TimeoutStopSec alone would do for the default drain.
        [extended] = [int(line.split("=")[1]) for line in stopping if line.startswith("EXTEND")]
        for unit in UNITS:
            assert int(dict(directives(unit))["TimeoutStopSec"]) * 1_000_000 > extended


def test_a_wrong_configuration_ends_with_the_status_that_is_not_tried_again(bin_dir, tmp_path):
    done = subprocess.run([bin_dir / "tidegate", "serve", "--data", tmp_path / "data", "--listen", "nowhere"],
                          capture_output=True, text=True, timeout=BOUND)
    for unit in UNITS:
        assert dict(directives(unit))["RestartPreventExitStatus"] == str(done.returncode) == "2"


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)


def test_a_renewed_certificate_is_in_use_after_sighup(bin_dir, make_server, tmp_path):
    make_certificate(tmp_path, "first")
    server = make_server(command="worker", args=["--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"])

    def listening():
        try:
            return server.listening()
        except (OSError, ValueError):
            return None

    port = int(wait_for(listening, "the worker listens").rsplit(":", 1)[1])

    def served():
        return ssl.get_server_certificate(("127.0.0.1", port)).strip()

    first = served()
    assert first == (tmp_path / "cert.pem").read_text().strip()
    make_certificate(tmp_path, "second")
    assert served() == first
    server.signal(signal.SIGHUP)
    wait_for(lambda: served() == (tmp_path / "cert.pem").read_text().strip(), "the renewed certificate")
    (tmp_path / "cert.pem").write_text("half of it")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "the TLS files stay as they were" in server.log_text(), "the refusal in the log")
    assert served() != first and server.process.poll() is None


@pytest.fixture
def units(bin_dir, tmp_path):
    """The units as they would be with the binaries installed."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/tidegate", str(bin_dir / "tidegate")))
    return [tmp_path / unit.name for unit in UNITS]


def test_the_units_are_valid_and_hardened(units):
    assert [u.name for u in units] == ["tidegate-api.service", "tidegate-worker.service", "tidegate.service"]
    for unit in units:
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=BOUND)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        # In tenths; 1.2 when this was written.
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit],
                              capture_output=True, text=True, timeout=BOUND)
        assert done.returncode == 0, done.stdout


def test_the_units_differ_in_their_command_only():
    settings = [[d for d in directives(unit) if d[0] != "ExecStart"] for unit in UNITS]
    assert settings[0] == settings[1] == settings[2]


def test_each_unit_starts_its_command_with_the_packages_configuration():
    commands = [dict(directives(unit))["ExecStart"].split() for unit in UNITS]
    assert [c[1] for c in commands] == ["api", "worker", "serve"]
    assert all(c[0] == "/usr/bin/tidegate" and c[2:4] == ["--config", "/etc/tidegate/tidegate.yaml"] for c in commands)
    # What needs one port each on one host.
    assert "--listen" in commands[1] and "--listen" not in commands[0]


def test_the_server_and_its_engine_work_under_the_filter_of_the_units(make_server, tmp_path, nycflights):
    """Nobody runs the units here: their system calls, address families and memory rule are applied by hand."""
    server = make_server()  # only for its folder's layout
    server.stop()
    shutil.copy(nycflights / "airlines.csv", server.files)
    server.wrapper = ["/usr/bin/python3", ROOT / "tests/e2e/unit_sandbox.py", UNITS[2]]
    server.start()
    job = server.create_job("confined", server.csv_to_sqlite("airlines.csv"))
    run = server.wait_run(server.run_now(job["id"]))
    assert run["state"] == "succeeded", run
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert re.search(r"^Seccomp:\s2$", status, re.M) and re.search(r"^NoNewPrivs:\s1$", status, re.M)
    # The filter bites: what the unit forbids is refused there.
    refused = subprocess.run([*server.wrapper, "/usr/bin/python3", "-c",
                              "import socket\n"
                              "try: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\n"
                              "except OSError as e: print(e.errno)"], capture_output=True, text=True, timeout=BOUND)
    assert refused.stdout.strip() == "97"
