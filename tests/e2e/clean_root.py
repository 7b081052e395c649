"""Root file systems that hold named Debian packages and nothing else, made from what is installed here.

The files of a package are copied as dpkg lists them, so no registry is asked; Depends are followed as dpkg knows them.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path


def run(*command, **more):
    assert os.geteuid() == 0, "chroot and dpkg need root: run this test with sudo"
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def installed():
    """name → (depends, stanza of dpkg's status) of what is installed here; a virtual package's name leads to one that
    provides it."""
    packages, provided = {}, {}
    for stanza in Path("/var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.M))
        if fields.get("Status") != "install ok installed":
            continue
        depends = ", ".join(fields[f] for f in ("Pre-Depends", "Depends") if f in fields)
        packages[fields["Package"]] = (depends, stanza, fields.get("Essential") == "yes")
        for name in re.findall(r"(?:^|, )([\w.+-]+)", fields.get("Provides", "")):
            provided.setdefault(name, fields["Package"])
    return packages, provided


def closure(wanted):
    """The packages of `wanted` (a Depends line) with all that they depend on."""
    packages, provided = installed()
    found, todo = {}, [wanted]
    while todo:
        for clause in todo.pop().split(","):
            names = [re.match(r"[\w.+-]+", alternative.strip())[0] for alternative in clause.split("|") if clause.strip()]
            names = [n if n in packages else provided.get(n) for n in names]
            name = next((n for n in names if n), None)
            assert name or not clause.strip(), f"nothing here is {clause.strip()}"
            if name and name not in found:
                found[name] = packages[name][1]
                todo.append(packages[name][0])
    return found


def essential():
    return ", ".join(name for name, (_, _, is_essential) in installed()[0].items() if is_essential)


def exactly(*names):
    """These packages, without what they depend on."""
    return {name: installed()[0][name][1] for name in names}


def files_of(package):
    listed = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=True).stdout
    for path in listed.splitlines():
        if not path.startswith(("/usr/share/doc/", "/usr/share/man/")) and (os.path.islink(path) or os.path.isfile(path)):
            yield path


def make_root(root, packages):
    """A root with the files of these packages; what dpkg there knows is them."""
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "tmp", "proc", "dev", "run", "mnt", "var/log",
                   "var/lib/dpkg/info"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for link in ("bin", "sbin", "lib", "lib64"):  # merged, as Debian is
        (root / link).symlink_to(f"usr/{link}")
    names = "".join(f"{path[1:]}\n" for package in packages for path in files_of(package))
    (root / "files").write_text(names)
    run("sh", "-ec", f"tar -C / --no-recursion -T {root}/files -cf {root}/files.tar;"
                     f"tar -C {root} --keep-directory-symlink -xpf {root}/files.tar; rm {root}/files {root}/files.tar")
    for package in packages:
        for listing in Path("/var/lib/dpkg/info").glob(f"{package}[.:]*list"):
            shutil.copy(listing, root / "var/lib/dpkg/info")
    (root / "var/lib/dpkg/status").write_text("\n\n".join(packages.values()) + "\n")
    # What the packages' own scripts would have made.
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/gshadow").write_text("root:*::\n")
    run("ldconfig", "-r", root)
    return root


def inside(root, script, setup=":"):
    """The command that runs a shell script in the root, in namespaces of its own: as process 1, with /proc and the
    devices that every program may expect. `setup` runs before that, outside, with $ROOT."""
    before = """set -e; ROOT=$1
for d in null zero full random urandom; do touch $ROOT/dev/$d; mount --bind /dev/$d $ROOT/dev/$d; done
mount -t proc proc $ROOT/proc
"""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
            before + setup + '\nexec chroot $ROOT /bin/sh -ec "$2"', "sh", str(root), script]
