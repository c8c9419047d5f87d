"""Joins control groups, gives up root, and becomes bubblewrap: `python -m grader.harness.sandbox.enter ENTRY`.

Files of root may lie where no other user can reach them, such as an interpreter in /root. So this process makes a
mount namespace, in which it mounts each of them at /mnt/0, /mnt/1, ..., where bubblewrap finds them. Then it becomes a
user who owns nothing. That is needed, too, because limits on processes hold only for users other than root.
"""

import os
import sys
from pathlib import Path

import msgspec

from grader.harness.inside import namespaces
from grader.harness.inside.linux import call

# An id that nobody has: above those of people, below those that systemd lends to services.
UNPRIVILEGED = 61_000
STAGE = Path("/mnt")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What to do before bubblewrap, and its command."""

    groups: tuple[str, ...]
    """Control groups to join."""

    staged: tuple[str, ...]
    """Files and folders to mount under STAGE; only root can."""

    command: tuple[str, ...]
    """Bubblewrap's."""


def main() -> None:
    """Become bubblewrap; never returns."""
    entry = msgspec.json.decode(sys.argv[1], type=Entry)
    for group in entry.groups:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    if os.geteuid() == 0:
        _stage(entry.staged)
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.execve(entry.command[0], entry.command, {})  # noqa: S606 - no shell is needed


def _stage(paths: tuple[str, ...]) -> None:
    call("unshare", namespaces.CLONE_NEWNS)
    namespaces.keep_mounts_private()
    # All are opened before the mount over STAGE can hide one of them.
    opened = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    namespaces.mount("tmpfs", str(STAGE), "tmpfs", 0, "mode=0755")
    for index, descriptor in enumerate(opened):
        namespaces.bind(descriptor, STAGE / str(index))


if __name__ == "__main__":
    main()
