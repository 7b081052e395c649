"""The packages are installed in roots that have nothing else, and do their work there."""
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

import clean_root
from clean_root import closure, essential, exactly, inside, make_root
from harness import BOUND, Server

ROOT = Path(__file__).resolve().parent.parent.parent
CSV = "carrier,name\n9E,Endeavor\nAA,American\n"
# As a unit with ProtectSystem=strict sees it.
READ_ONLY = """mount --bind $ROOT/var/lib/tidegate $ROOT/var/lib/tidegate; mount -t tmpfs tmpfs $ROOT/tmp
mount --rbind $ROOT /mnt; mount -o remount,bind,ro /mnt; ROOT=/mnt"""
AS_TIDEGATE = "setpriv --reuid=tidegate --regid=tidegate --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"


def make_packages(into, bin_dir):
    subprocess.run([ROOT / "tools/package", "--bin", bin_dir, "--into", into, "--level", "1"], check=True,
                   stdout=subprocess.DEVNULL, timeout=BOUND * 4)
    [archive], [deb] = into.glob("*.tar.gz"), into.glob("*.deb")
    return archive, deb


@pytest.fixture(scope="module")
def packages(bin_dir, tmp_path_factory):
    return make_packages(tmp_path_factory.mktemp("packages"), bin_dir)


@pytest.fixture(scope="module")
def installed_deb(packages, tmp_path_factory):
    """A root with the essential packages, what the .deb says it needs, and the .deb."""
    depends = clean_root.run("dpkg-deb", "--field", packages[1], "Depends").strip()
    root = make_root(tmp_path_factory.mktemp("deb") / "root", closure(f"{essential()}, {depends}"))
    (root / "tmp/tidegate.deb").write_bytes(packages[1].read_bytes())
    execute(root, "dpkg --install /tmp/tidegate.deb; rm /tmp/tidegate.deb")
    return root


def execute(root, script, **more):
    done = subprocess.run(inside(root, script, **more), capture_output=True, text=True, timeout=BOUND * 2)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def rows(database):
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute("SELECT * FROM airlines ORDER BY 1").fetchall()


class ConfinedServer(Server):
    """`tidegate serve` as process 1 of a root."""

    def __init__(self, root, command, setup):
        super().__init__("/", root / "var/lib/tidegate")
        self.root, self.script, self.setup = root, command, setup

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(inside(self.root, f"exec {self.script} --listen 127.0.0.1:0", self.setup),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def listening(self):
        [line] = [line for line in self.log_text().splitlines() if '"message":"listening"' in line]
        assert json.loads(line)["pid"] == 1
        return json.loads(line)["url"]

    def stop(self):
        """SIGTERM to the server, not to what made its namespaces."""
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        clean_root.run("kill", "-TERM", child)
        return self.process.wait(BOUND)


def serves_and_syncs(root, command, setup):
    server = ConfinedServer(root, command, setup)
    try:
        server.start()
        assert server.request("GET", "/readyz").status_code == 200
        (server.files / "airlines.csv").write_text(CSV)
        source = server.api("POST", "/data-sources", {"name": "in", "type": "file", "config": {"path": "airlines.csv"}})
        target = server.api("POST", "/destinations", {"name": "out", "type": "sqlite", "config": {"path": "out.db"}})
        job = server.create_job("airlines", (source["id"], target["id"]), schedule={"cron": "0 3 * * *",
                                                                                 "timezone": "Australia/Lord_Howe"})
        run = server.wait_run(server.run_now(job["id"]))
        assert run["state"] == "succeeded", run
        assert len(rows(server.files / "out.db")) == 2
        assert server.stop() == 0, server.log_text()[-2000:]
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    assert '"message":"stopped"' in server.log_text()


def test_the_deb_is_installed_with_its_user_its_folders_and_nothing_started(installed_deb):
    said = execute(installed_deb, "getent passwd tidegate; stat -c '%U %G %a %n' /var/lib/tidegate /etc/tidegate "
                                  "/etc/tidegate/tidegate.yaml /usr/bin/tidegate; dpkg --verify tidegate; dpkg --audit tidegate;"
                                  "ls -A /var/lib/tidegate; ls /etc/systemd/system 2>/dev/null || true").splitlines()
    assert re.fullmatch(r"tidegate:x:\d{3}:\d{3}:[^:]*:/var/lib/tidegate:/usr/sbin/nologin", said[0])
    assert said[1:] == ["tidegate tidegate 700 /var/lib/tidegate", "root tidegate 750 /etc/tidegate",
                        "root root 644 /etc/tidegate/tidegate.yaml", "root root 777 /usr/bin/tidegate"]


def test_the_deb_syncs_and_serves_in_a_root_that_has_only_what_it_depends_on(installed_deb):
    (installed_deb / "tmp/airlines.csv").write_text(CSV)
    execute(installed_deb, f"cd /tmp; {AS_TIDEGATE} tidegate sync airlines.csv /tmp/out.duckdb;"
                           f"{AS_TIDEGATE} tidegate sync /tmp/out.duckdb /tmp/out.db")
    assert rows(installed_deb / "tmp/out.db") == [("9E", "Endeavor"), ("AA", "American")]
    # No HOME, as in a unit with User=; a root that cannot be written but for the data folder.
    serves_and_syncs(installed_deb, f"{AS_TIDEGATE} env -i PATH=/usr/bin tidegate serve --config "
                                    "/etc/tidegate/tidegate.yaml", READ_ONLY)


def test_a_purge_takes_the_configuration_and_leaves_the_data(installed_deb):
    data = installed_deb / "var/lib/tidegate"
    execute(installed_deb, "echo '# mine' >>/etc/tidegate/tidegate.yaml; touch /var/lib/tidegate/kept;"
                           "dpkg --remove tidegate; test -e /etc/tidegate/tidegate.yaml; test ! -e /usr/bin/tidegate;"
                           "dpkg --purge tidegate; test ! -e /etc/tidegate; test ! -e /usr/lib/tidegate")
    assert (data / "kept").exists()
    assert "tidegate" not in (installed_deb / "var/lib/dpkg/status").read_text()


def test_the_archive_needs_nothing_but_glibc(packages, tmp_path):
    root = make_root(tmp_path / "root", exactly("libc6", "dash", "tzdata"))
    place = root / "srv/some where"  # relocatable
    place.mkdir(parents=True)
    clean_root.run("tar", "-C", place, "-xzf", packages[0])
    [folder] = place.iterdir()
    (root / "tmp/airlines.csv").write_text(CSV)
    (root / "var/lib/tidegate").mkdir(mode=0o700)
    binary = f"/{folder.relative_to(root)}/bin/tidegate"
    execute(root, f"cd /tmp; '{binary}' sync airlines.csv out.duckdb; '{binary}' sync out.duckdb out.db")
    assert rows(root / "tmp/out.db") == [("9E", "Endeavor"), ("AA", "American")]
    serves_and_syncs(root, f"'{binary}' serve --data /var/lib/tidegate", ":")
    assert not list(folder.rglob("*.py"))


def test_each_library_in_the_archive_has_its_terms(packages, tmp_path):
    clean_root.run("tar", "-C", tmp_path, "-xzf", packages[0])
    [folder] = tmp_path.iterdir()
    notice = (folder / "NOTICE").read_text()
    for library in (folder / "lib").iterdir():
        named = re.search(rf"^{re.escape(library.name)}: .*licenses/(\S+)$", notice, re.M)
        assert named and list((folder / "licenses").glob(named[1])), f"{library.name} has no terms in NOTICE"
    assert {"LICENSE", "NOTICE", "bin", "lib", "licenses", "etc", "systemd", "doc"} == {p.name for p in folder.iterdir()}


def test_without_duckdb_s_library_no_package_is_made(bin_dir, tmp_path):
    """Seen here: images and packages of a clean checkout had none, and only a warning said so."""
    (tmp_path / "tools").mkdir()
    script = shutil.copy(ROOT / "tools/package", tmp_path / "tools")
    done = subprocess.run([script, "--bin", bin_dir, "--into", tmp_path / "out"], capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 1 and not list((tmp_path / "out").iterdir())
    assert "libduckdb.so is missing" in done.stderr and "./dev setup --build" in done.stderr


def test_the_same_binaries_give_the_same_packages(packages, bin_dir, tmp_path):
    def sums(archives):
        return [hashlib.sha256(a.read_bytes()).hexdigest() for a in archives]

    assert sums(make_packages(tmp_path, bin_dir)) == sums(packages)


def test_the_documented_sizes_are_those_of_the_packages(packages):
    """Written by `tools/package --write-docs`; a tenth more or less is not worth a new text. Archives here are less
    compressed than those that are published."""
    sizes = json.loads((packages[0].parent / "sizes.json").read_text())
    documented = dict(re.findall(r"^\| `?([^|`]+?)`?(?:, unpacked)? \| ([\d.]+) MB \|$",
                                 (ROOT / "docs/ops/packages.md").read_text(), re.M))
    assert set(sizes["archives"]) <= set(documented)
    for name, size in sizes["installed"].items():
        assert float(documented[name]) * 1e6 == pytest.approx(size, rel=0.1), f"{name}: run tools/package --write-docs"
