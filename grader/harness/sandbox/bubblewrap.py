"""The bubblewrap command: a file system with what ranks need and nothing else, new namespaces, no privileges.

https://github.com/containers/bubblewrap, version 0.8 or later.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from grader.harness.sandbox import visible
from grader.harness.sandbox.enter import STAGE, Entry

PROGRAM = "bwrap"
USER = 1000  # inside the sandbox only; outside it is another id
MEMORY_FOLDER_BYTES = 64 << 20
HOME = "/tmp"  # noqa: S108 - the sandbox's own
MEMORY_FOLDERS = ("/dev/shm", HOME)  # noqa: S108 - the sandbox's own
FOLDERS_TO_MOUNT_ON = ("/launch",)
FLAGS = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--uid", str(USER), "--gid", str(USER), "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--hostname", "sandbox", "--clearenv", "--proc", "/proc", "--dev", "/dev"),
)
# Without them "localhost" does not resolve and nobody has a name.
ETC = {
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "/etc/passwd": f"student:x:{USER}:{USER}::/tmp:/bin/sh\n",
    "/etc/group": f"student:x:{USER}:\n",
}


@contextmanager
def etc_files() -> Iterator[dict[str, int]]:
    """Yield a descriptor of each file that bubblewrap makes, by the file's path in the sandbox."""
    files = {path: _memory_file(text) for path, text in ETC.items()}
    try:
        yield files
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def _memory_file(text: str) -> int:
    descriptor = os.memfd_create("etc", 0)  # without MFD_CLOEXEC: bubblewrap inherits it
    os.pwrite(descriptor, text.encode(), 0)
    return descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What is in a sandbox."""

    program: Sequence[str]
    """The command that runs there."""

    environment: Mapping[str, str]
    files: Mapping[str, int]
    """A descriptor of each file that bubblewrap makes, by the file's path in the sandbox."""

    devices: Sequence[Path]
    """Device files that can be used."""

    has_own_network: bool
    """Nothing outside can be reached."""


def arguments(inside: Inside, groups: Sequence[Path]) -> list[str]:
    """Return the command that makes a sandbox in these control groups and runs its program.

    Where there are groups to join, and for root, the command starts `enter`, which becomes bubblewrap.
    """
    shown = [str(path) for path in visible.paths()]
    if os.geteuid() != 0 and not groups:
        return _bubblewrap(dict(zip(shown, shown, strict=True)), inside)
    staged = shown if os.geteuid() == 0 else []
    sources = [str(STAGE / str(index)) for index in range(len(shown))] if staged else shown
    entry = Entry(
        groups=tuple(map(str, groups)),
        staged=tuple(staged),
        command=tuple(_bubblewrap(dict(zip(shown, sources, strict=True)), inside)),
    )
    return [sys.executable, "-I", "-m", "grader.harness.sandbox.enter", msgspec.json.encode(entry).decode()]


def _bubblewrap(shown: Mapping[str, str], inside: Inside) -> list[str]:
    """Return bubblewrap's command; `shown`: where it finds each file and folder, by the path inside the sandbox."""
    command = [shutil.which(PROGRAM) or PROGRAM, *FLAGS]
    if inside.has_own_network:
        command += ["--unshare-net"]
    for folder in MEMORY_FOLDERS:
        command += ["--size", str(MEMORY_FOLDER_BYTES), "--tmpfs", folder]
    for path, source in shown.items():
        command += ["--ro-bind", source, path]
    for device in inside.devices:
        command += ["--dev-bind", str(device), str(device)]
    if inside.devices:  # drivers and NCCL look for devices there
        command += ["--ro-bind", "/sys", "/sys"]
    for link, target in visible.links().items():
        command += ["--symlink", target, str(link)]
    for folder in FOLDERS_TO_MOUNT_ON:
        command += ["--dir", folder]
    for path, descriptor in inside.files.items():
        command += ["--ro-bind-data", str(descriptor), path]
    for name, value in inside.environment.items():
        command += ["--setenv", name, value]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME, "--", *inside.program]
