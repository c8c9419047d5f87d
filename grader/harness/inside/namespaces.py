"""Fresh namespaces for one launch, fresh mounts and processes for each of its ranks: what Python 3.11 does not offer."""

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import socket
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grader.harness.inside.linux import CLONE, call, prctl, set_dumpable, syscall
from grader.harness.protocol.traffic import Traffic

CLONE_VM = 0x00000100
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
FRESH = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
NUM_CAPABILITIES = 64

PRIVATE_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - each rank's own
SOURCES_LIMIT = "size=16m,nr_inodes=1k,mode=0755"
PRIVATE_LIMIT = "size=64m,nr_inodes=4k,mode=0700"
PRIVATE_TERMINALS = "newinstance,ptmxmode=0666,mode=0600"
NOTHING = "size=4k,nr_inodes=1,mode=0555"
HOLDER_STACK_BYTES = 64 << 10

_stacks: list[mmap.mmap] = []  # of the holders, which use them to the end of this process


def fork_into_fresh(*, with_network: bool) -> int:
    """Fork; the child is process 1 of new user, pid, ipc, mount, uts and cgroup namespaces, and of a new network.

    One fork instead of unshare and two: each copies the page tables of a process that holds torch. Only for a
    process with one thread.
    """
    ctypes.pythonapi.PyOS_BeforeFork()
    try:
        flags = FRESH | (CLONE_NEWNET if with_network else 0) | signal.SIGCHLD
        pid = syscall("clone", CLONE[platform.machine()], flags, 0, 0, 0, 0)
    except OSError:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        raise
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def furnish(uid: int, gid: int, folder: Path, *, with_network: bool) -> None:
    """Make fresh namespaces usable: ids as outside, the loopback interface, an own /proc, and room at `folder`."""
    _map_ids(uid, gid)
    keep_mounts_private()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if with_network:
        _raise_loopback()
        _send_nothing_twice()
    mount("tmpfs", str(folder), "tmpfs", MS_NOSUID | MS_NODEV, SOURCES_LIMIT)


def keep_mounts_private() -> None:
    """Let no mount that this process makes show in another mount namespace."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def make_read_only(folder: Path) -> None:
    """Let nobody change what lies in `folder`, a mount of this launch."""
    mount("none", str(folder), None, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


class PidNamespace(NamedTuple):
    """A pid namespace for one rank.

    holder: pid of its first process, which sleeps until it is killed and so keeps the namespace
    descriptor: for `enter`
    """

    holder: int
    descriptor: int

    def enter(self) -> None:
        """Have what this process forks next live there, where it can name no other: no signal, limit or clock of theirs.

        It will not be the first of its namespace, which the signals of its own crash would not end.
        """
        call("setns", self.descriptor, CLONE_NEWPID)


def make_pid_namespaces(num: int) -> tuple[PidNamespace, ...]:
    """Return `num` fresh pid namespaces, for a process that has capabilities in its user namespace."""
    set_dumpable(True)  # the kernel opens no namespace of a process that is not
    made = tuple(_make_pid_namespace() for _ in range(num))
    set_dumpable(False)
    return made


def _make_pid_namespace() -> PidNamespace:
    # The holder shares this process's memory, so that no page table is copied, and runs the C library's pause().
    stack = mmap.mmap(-1, HOLDER_STACK_BYTES)
    _stacks.append(stack)
    top = ctypes.addressof(ctypes.c_char.from_buffer(stack)) + HOLDER_STACK_BYTES
    flags = CLONE_VM | CLONE_NEWPID | signal.SIGCHLD
    holder = call("clone", ctypes.CDLL(None).pause, ctypes.c_void_p(top), flags, None)
    return PidNamespace(holder, os.open(f"/proc/{holder}/ns/pid", os.O_RDONLY))


def hide_processes() -> None:
    """Cover /proc: it tells of the network and of shared files what would be a way to exchange data past the counter."""
    mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, NOTHING)


def mount_private_folders(visible: Sequence[str]) -> None:
    """Give this process, and what it starts, a /tmp, a /dev/shm and terminals of its own; what of `visible` lies there stays."""
    call("unshare", CLONE_NEWNS)
    for folder in PRIVATE_FOLDERS:
        kept = {path: os.open(path, os.O_PATH) for path in visible if path.startswith(f"{folder}/")}
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, PRIVATE_LIMIT)
        for path, descriptor in kept.items():
            bind(descriptor, Path(path))
            os.close(descriptor)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, PRIVATE_TERMINALS)


def bind(descriptor: int, place: Path) -> None:
    """Let what `descriptor` has opened be found at `place` as well."""
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir() if is_folder else place.touch()
    mount(f"/proc/self/fd/{descriptor}", str(place), None, MS_BIND | MS_REC)


def drop_capabilities() -> None:
    """Give up every capability, for good and for all that this process starts."""
    for capability in range(NUM_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # the kernel knows no more, or this process has none to drop with
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("II", CAPABILITY_VERSION_3, 0)
    call("capset", header, bytes(24))


def loopback_traffic() -> Traffic:
    """Return what this network namespace's loopback interface has carried so far."""
    lines = (line.partition(":") for line in Path("/proc/self/net/dev").read_text().splitlines())
    counters = next(values.split() for name, _, values in lines if name.strip() == "lo")
    retransmits = _counter("snmp", "Tcp", "RetransSegs") - _counter("netstat", "TcpExt", "TCPSynRetrans")
    return Traffic(num_bytes=int(counters[8]), packets=int(counters[9]), retransmits=retransmits)


def _counter(file: str, group: str, name: str) -> int:
    """Return one of the kernel's network counters, which come as a line of names and a line of values."""
    lines = [line.split() for line in Path("/proc/self/net", file).read_text().splitlines()]
    names, values = (line for line in lines if line[0] == f"{group}:")
    return int(values[names.index(name)])


def _map_ids(uid: int, gid: int) -> None:
    for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", file).write_text(text)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def _send_nothing_twice() -> None:
    """Have TCP wait for a late acknowledgement instead of sending again, which would be counted as traffic."""
    Path("/proc/sys/net/ipv4/tcp_early_retrans").write_text("0")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Attach a file system or change how one is attached.

    Raises: OSError if the kernel refuses.
    """
    call(
        "mount", os.fsencode(source), os.fsencode(target), kind and kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
