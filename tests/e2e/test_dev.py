"""./dev itself: a step that fails is told, whatever its function does afterwards."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(params=["quiet", "verbose"])
def dev(request, tmp_path):
    """dev(script) runs it with the functions of ./dev, in an empty checkout."""
    def run(script):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        parts = "".join(f"source {ROOT}/tools/dev/{name}.sh\n" for name in ("steps", "setup", "build", "test"))
        return subprocess.run(["bash", "-c", "set -euo pipefail\n" + parts + script], cwd=tmp_path, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=env | ({"TIDEGATE_VERBOSE": "1"} if request.param == "verbose" else {}))

    run.checkout = tmp_path
    return run


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_step_whose_first_command_fails_ends_the_script(dev):
    """Seen here: only a step's last command counted."""
    done = dev("body() { echo began; false; echo went on; }\nstep Try try body\necho after")
    assert done.returncode == 1
    assert (dev.checkout / "build/log/try.log").read_text() == "began\n"
    assert "failed after" in done.stdout and "Remedy:" in done.stdout and "after\n" not in done.stdout


def test_a_step_shows_the_first_errors_and_the_end_of_its_log(dev):
    done = dev("body() { for i in $(seq 99); do echo \"x.cc:$i: error: bad\"; done; seq 50; return 3; }\nstep Try try body")
    assert done.returncode == 1
    assert "1:x.cc:1: error: bad" in done.stdout and "\n    50\n" in done.stdout and "build/log/try.log" in done.stdout


def test_a_step_that_works_is_followed_by_the_next(dev):
    done = dev("body() { [ -d nothing ] || echo fine; }\nstep One one body\nstep Two two body\nfalse\necho after")
    assert done.stdout.count("done in") == 2
    assert done.returncode == 1 and "after\n" not in done.stdout  # set -e is on as before


@pytest.mark.parametrize("call", ["step Try try body || true", "if step Try try body; then :; fi", "step Try try body && true",
                                  "outer() { step Try try body; }; ! outer"])
def test_a_step_in_a_condition_is_refused(dev, call):
    done = dev(f"body() {{ false; echo went on; }}\n{call}\necho after")
    assert done.returncode == 2 and "in a condition" in done.stdout and "after\n" not in done.stdout


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe"])
def test_the_oracle_must_agree_under_every_zone(dev, zone):
    executable(dev.checkout / "build/release/bin/cron_oracle", f'#!/bin/sh\n[ "$TZ" != {zone} ]\n')
    done = dev("step Oracle oracle oracle_under_zones")
    assert done.returncode == 1 and "failed after" in done.stdout


def test_a_tool_folder_that_pip_could_not_fill_is_filled_again(dev):
    (dev.checkout / "tools").mkdir()
    for name in ("requirements.txt", "requirements-test.txt"):
        (dev.checkout / "tools" / name).write_text("x==1\n")
    pip = dev.checkout / ".tools/venv/bin/python"
    executable(pip, '#!/bin/sh\ncase "$*" in *install*) echo no route >&2; exit 1 ;; esac\n')
    assert dev("step Venv venv install_venv").returncode == 1
    executable(pip, "#!/bin/sh\necho \"$*\" >>asked\n")
    assert dev("step Venv venv install_venv").returncode == 0
    assert "install" in (dev.checkout / "asked").read_text()
