"""./dev itself: a step that fails is told, whatever its function does afterwards."""
import fcntl
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(params=["quiet", "verbose"])
def dev(request, tmp_path):
    """dev(script) runs it with the functions of ./dev, in an empty checkout."""
    def start(script):
        env = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        parts = "".join(f"source {ROOT}/tools/dev/{name}.sh\n" for name in ("steps", "setup", "build", "test"))
        return subprocess.Popen(["bash", "-c", "set -euo pipefail\n" + parts + script], cwd=tmp_path, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env=env | ({"TIDEGATE_VERBOSE": "1"} if request.param == "verbose" else {}))

    def run(script):
        process = start(script)
        output, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(script, process.returncode, output)

    run.checkout, run.start = tmp_path, start
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


def test_two_steps_of_one_checkout_come_one_after_the_other(dev):
    (dev.checkout / "build/log").mkdir(parents=True)
    with open(dev.checkout / "build/log/lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = dev.start("step Try try touch ran")
        said = ""
        while "waits for another ./dev" not in said:
            said += (letter := waiting.stdout.read(1))
            assert letter, said
        assert not (dev.checkout / "ran").exists()
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and "done in" in said and (dev.checkout / "ran").exists()


def test_building_the_benchmarks_waits_for_a_step_of_the_checkout(tmp_path):
    """Seen here: they were configured and built over each other."""
    executable(tmp_path / "bench/run", (ROOT / "bench/run").read_text())
    executable(tmp_path / "bench/one/run", "#!/bin/sh\necho measured\n")
    for tool in ("cmake", "ninja"):
        executable(tmp_path / "bin" / tool, f'#!/bin/sh\necho "{tool} $*" >>{tmp_path}/asked\n')
    (tmp_path / "build/log").mkdir(parents=True)
    with open(tmp_path / "build/log/lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        env = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
        waiting = subprocess.Popen([tmp_path / "bench/run", "--dry", "one"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=env | {"PATH": f"{tmp_path}/bin:{env['PATH']}"})
        assert "waits for another ./dev" in waiting.stderr.readline()
        assert not (tmp_path / "asked").exists()
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and said == "measured\n\n"
    assert (tmp_path / "asked").read_text().splitlines() == ["cmake --preset bench", "ninja -C build/bench all cron_oracle"]


def test_what_a_step_leaves_running_holds_up_no_other(dev):
    done = dev("body() { sleep 60 >/dev/null 2>&1 & echo $! >left; }\nstep One one body\nstep Two two body\nkill $(cat left)")
    assert done.returncode == 0 and "waits for another" not in done.stdout


@pytest.mark.parametrize("command", ["soak", "bench", "demo", "test", "setup", "lint"])
def test_help_comes_without_a_build(command):
    done = subprocess.run([ROOT / "dev", command, "--help"], text=True, timeout=60, capture_output=True)
    assert done.returncode == 0 and "sage: " in done.stdout and "[1/" not in done.stdout, done.stdout


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


@pytest.mark.parametrize("install, list_", [("install_venv", "requirements.txt"), ("install_test_venv", "requirements-test.txt")])
def test_what_pip_could_not_install_is_installed_the_next_time_and_once(dev, install, list_):
    (dev.checkout / "tools").mkdir()
    (dev.checkout / "tools" / list_).write_text("x==1\n")
    pip = dev.checkout / ".tools/venv/bin/python"
    executable(pip, '#!/bin/sh\ncase "$*" in *install*) echo no route >&2; exit 1 ;; esac\n')
    assert dev(f"step Venv venv {install}").returncode == 1
    executable(pip, "#!/bin/sh\necho \"$*\" >>asked\n")
    for _ in range(2):
        assert dev(f"step Venv venv {install}").returncode == 0
    assert (dev.checkout / "asked").read_text().count(f"install --disable-pip-version-check --progress-bar off -r tools/{list_}") == 1


def test_building_needs_nothing_that_only_tests_need(dev):
    """Its steps, with each function that installs replaced by one that says its name."""
    names = "install_packages install_venv install_test_venv install_linter install_duckdb install_data install_deploy_tools"
    spies = "".join(f'{name}() {{ echo "{name} $*" >>asked; }}\n' for name in names.split())
    assert dev(spies + "run_setup_build").returncode == 0
    assert (dev.checkout / "asked").read_text().split("\n") == [
        "install_packages tools/apt-packages.txt", "install_venv ", "install_duckdb ", "install_data ", ""]
    done = dev(spies + 'plan_steps "$SETUP_STEPS"\nrun_setup\necho "$STEP steps"')
    assert "8 steps" in done.stdout and "[8/8]" in done.stdout
    assert set(names.split()) == {line.split()[0] for line in (dev.checkout / "asked").read_text().splitlines()}


@pytest.mark.parametrize("command", ["setup", "setup --build", "build", "package", "demo --once", "soak", "bench", "fuzz 1", "lint",
                                     "fmt", "test", *(f"test --only {s}" for s in ("unit", "threads", "oracle", "mutants", "e2e"))])
def test_each_command_counts_its_steps_right(dev, command):
    """With steps that do nothing: the last one is the last of as many."""
    main = (ROOT / "dev").read_text().split("source tools/dev/test.sh\n")[1].replace('main "$@"', f"main {command}")
    (dev.checkout / "fuzz").mkdir()
    (dev.checkout / "fuzz/csv_fuzz.cc").write_text("")
    executable(dev.checkout / ".tools/venv/bin/python", "#!/bin/sh\n")  # the programs that end a command
    step = ('step() { STEP=$((STEP + 1)); echo "[$STEP/$STEPS] $1"; '
            'echo "stat::number_of_executed_units: 1 tests passed" >"build/log/$2.log"; }\n')
    done = dev(step + main)
    assert done.returncode == 0, done.stdout
    counts = [line[1:].split("]")[0] for line in done.stdout.splitlines() if line.startswith("[")]
    assert counts == [f"{i}/{len(counts)}" for i in range(1, len(counts) + 1)] and counts
