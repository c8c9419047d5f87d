"""Runs one command as some user, and tells what it left behind: `python driver.py ORDER`, a JSON object.

command, cwd, environment: what to run
output: the file that gets what it prints
user: None, or a user id; as that user everything in `needed` can be reached, even if it lies in root's own home

Prints a JSON object: exit code, processes left, mounts left.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from grader.harness.inside import linux, namespaces

SECONDS_TO_END = 3.0
OTHERS_MAY_ENTER = 0o001


def main() -> None:
    """Print what was left."""
    order = json.loads(sys.argv[1])
    linux.adopt_orphans()  # whatever outlives the command becomes a child of this process
    if order["user"] is not None:
        _become(order["user"], order["needed"])
    mounts = _mounts()
    with Path(order["output"]).open("wb") as output:
        code = subprocess.run(
            order["command"],
            cwd=order["cwd"],
            env=order["environment"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        ).returncode
    linux.settle(SECONDS_TO_END)
    processes = [_command_line(pid) for pid in linux.children()]
    linux.end_children()
    print(json.dumps({"exit_code": code, "processes": processes, "mounts": sorted(_mounts() - mounts)}))


def _become(user: int, needed: list[str]) -> None:
    linux.call("unshare", namespaces.CLONE_NEWNS)
    namespaces.keep_mounts_private()
    _open_the_way(sorted({Path(path).resolve() for path in needed}))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _open_the_way(paths: Iterable[Path]) -> None:
    """Put empty folders in the place of those that others may not enter, and in them `paths` and nothing else."""
    closed = {path: folder for path in paths if (folder := _outermost_closed(path)) is not None}
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in closed}
    for folder in set(closed.values()):
        namespaces.mount("tmpfs", str(folder), "tmpfs", 0, "mode=0755")
    for path, descriptor in opened.items():
        namespaces.bind(descriptor, path)


def _outermost_closed(path: Path) -> Path | None:
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & OTHERS_MAY_ENTER), None)


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


if __name__ == "__main__":
    main()
