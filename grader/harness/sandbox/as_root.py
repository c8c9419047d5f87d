"""Gives up root and then runs bubblewrap: `python -m grader.harness.sandbox.as_root PATH... -- bwrap ARGUMENT...`.

Root's own files may lie where no other user can reach them, an interpreter in /root for one. So, in a mount namespace of
its own, each PATH is first mounted at /mnt/0, /mnt/1, ..., which is where ARGUMENTs find them; then this process becomes
a user who owns nothing. Limits on processes hold only for users other than root, too.
"""

import os
import sys
from pathlib import Path

from grader.harness.inside import namespaces
from grader.harness.inside.linux import call

# Belongs to nobody: above the ids of people, below those that systemd lends to services.
UNPRIVILEGED = 61_000
STAGE = Path("/mnt")


def main() -> None:
    """Never returns."""
    end = sys.argv.index("--")
    paths, command = sys.argv[1:end], sys.argv[end + 1 :]
    _stage(paths)
    os.setgroups([])
    os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.execve(command[0], command, {})  # noqa: S606 - there is no shell to want


def _stage(paths: list[str]) -> None:
    call("unshare", namespaces.CLONE_NEWNS)
    namespaces.keep_mounts_private()
    # Opened before anything is mounted over them.
    opened = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    namespaces.mount("tmpfs", str(STAGE), "tmpfs", 0, "mode=0755")
    for number, descriptor in enumerate(opened):
        namespaces.bind(descriptor, STAGE / str(number))


if __name__ == "__main__":
    main()
