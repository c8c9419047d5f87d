"""Joins control groups, gives up root, and becomes bubblewrap: `python -m grader.harness.sandbox.enter ENTRY`.

Root's own files may lie where no other user can reach them, an interpreter in /root for one. So, in a mount namespace of
its own, each of them is first mounted at /mnt/0, /mnt/1, ..., which is where bubblewrap finds them; then this process
becomes a user who owns nothing. Limits on processes hold only for users other than root, too.
"""

import os
import sys
from pathlib import Path

import msgspec

from grader.harness.inside import namespaces
from grader.harness.inside.linux import call

# Belongs to nobody: above the ids of people, below those that systemd lends to services.
UNPRIVILEGED = 61_000
STAGE = Path("/mnt")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What to do before bubblewrap.

    groups: control groups to join
    staged: files and folders to mount under STAGE, by root only
    command: bubblewrap's
    """

    groups: tuple[str, ...]
    staged: tuple[str, ...]
    command: tuple[str, ...]


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
    os.execve(entry.command[0], entry.command, {})  # noqa: S606 - there is no shell to want


def _stage(paths: tuple[str, ...]) -> None:
    call("unshare", namespaces.CLONE_NEWNS)
    namespaces.keep_mounts_private()
    # Opened before anything is mounted over them.
    opened = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    namespaces.mount("tmpfs", str(STAGE), "tmpfs", 0, "mode=0755")
    for number, descriptor in enumerate(opened):
        namespaces.bind(descriptor, STAGE / str(number))


if __name__ == "__main__":
    main()
