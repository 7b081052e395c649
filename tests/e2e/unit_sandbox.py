"""Runs a command under what a unit's seccomp rules say, where no systemd is.

Usage: unit_sandbox.py UNIT COMMAND [ARGUMENT…]     (with /usr/bin/python3: python3-seccomp is Debian's)

Applies SystemCallFilter, SystemCallErrorNumber, RestrictAddressFamilies, MemoryDenyWriteExecute and NoNewPrivileges.
"""
import ctypes
import errno
import os
import socket
import subprocess
import sys

import seccomp

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


def members(name):
    """The system calls of a set, as systemd has them."""
    if not name.startswith("@"):
        return {name}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    names = {line.strip() for line in lines[1:] if line.startswith("    ")} - {""}
    found = set()
    for n in names:
        if not n.startswith("#"):
            found |= members(n)
    return found


def prctl(option, argument):
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        sys.exit(f"unit_sandbox: prctl {option}: {os.strerror(ctypes.get_errno())}")


def main():
    allowed, families, refusal = set(), [], errno.EPERM
    with open(sys.argv[1], encoding="utf-8") as unit:
        lines = [line.strip().split("=", 1) for line in unit if "=" in line and not line.startswith("#")]
    for name, value in lines:
        if name == "SystemCallFilter":
            taken = value.startswith("~")
            for word in value.removeprefix("~").split():
                allowed = allowed - members(word) if taken else allowed | members(word)
        elif name == "SystemCallErrorNumber":
            refusal = getattr(errno, value)
        elif name == "RestrictAddressFamilies":
            families = [getattr(socket, f) for f in value.split()]
        elif name == "MemoryDenyWriteExecute" and value == "yes":
            prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
        elif name == "NoNewPrivileges" and value == "yes":
            prctl(PR_SET_NO_NEW_PRIVS, 1)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(refusal))
    # systemd adds it for its own exec.
    for name in allowed - {"socket"} | {"execve"}:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except RuntimeError:
            pass  # of another architecture
    for family in families:
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    for family in set(range(46)) - set(families):
        rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, family))
    rules.load()
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
