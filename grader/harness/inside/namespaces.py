"""New namespaces for a launch, private mounts and pid namespaces for its ranks: what Python 3.11 does not offer."""

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

PRIVATE_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - each rank gets private ones
SOURCES_LIMIT = "size=16m,nr_inodes=1k,mode=0755"
PRIVATE_LIMIT = "size=64m,nr_inodes=4k,mode=0700"
PRIVATE_TERMINALS = "newinstance,ptmxmode=0666,mode=0600,max=8"  # few, because the machine's number is bounded
NOTHING = "size=4k,nr_inodes=1,mode=0555"
HOLDER_STACK_BYTES = 64 << 10

_stacks: list[mmap.mmap] = []  # of the holders, which use them until this process ends


def fork_into_fresh(*, with_network: bool) -> int:
    """Fork; the child is process 1 of new user, pid, ipc, mount, uts and cgroup namespaces, and perhaps a new network.

    unshare would take two forks, and each fork copies the page tables of a process that holds torch. Only for a process
    with one thread.
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


def make_usable(uid: int, gid: int, folder: Path, *, with_network: bool) -> None:
    """Make new namespaces usable: ids as outside, a /proc, the loopback interface, a memory file system at `folder`."""
    _map_ids(uid, gid)
    keep_mounts_private()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if with_network:
        _raise_loopback()
        _send_nothing_twice()
    mount("tmpfs", str(folder), "tmpfs", MS_NOSUID | MS_NODEV, SOURCES_LIMIT)
    _keep_times_of_devices()


def _keep_times_of_devices() -> None:
    """Forbid setting the times of the machine's device files, which all sandboxes see.

    A read-only mount forbids that to those who may write to a device, and no use of the device itself.
    """
    mounted = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    for device in (path for path in mounted if Path(path).is_char_device()):
        kept = os.statvfs(device).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("none", device, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def keep_mounts_private() -> None:
    """Keep the mounts that this process makes out of all other mount namespaces."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def make_read_only(folder: Path) -> None:
    """Make `folder`, a mount of this launch, read-only for all."""
    mount("none", str(folder), None, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


class PidNamespace(NamedTuple):
    """A pid namespace for one rank."""

    holder: int
    """Process id of its first process, which sleeps until it is killed and so keeps the namespace alive."""

    descriptor: int
    """For `enter`."""

    def enter(self) -> None:
        """Put the processes that this process forks from now on into the namespace.

        There a rank can name no process of another rank: it cannot signal one, nor use its limits or clocks.
        The rank is not the first process there: that one would survive the signals of its own crash.
        """
        call("setns", self.descriptor, CLONE_NEWPID)


def make_pid_namespaces(num: int) -> tuple[PidNamespace, ...]:
    """Make `num` new pid namespaces; this process needs capabilities in its user namespace."""
    set_dumpable(True)  # the kernel opens no namespace of a process that is not dumpable
    made = tuple(_make_pid_namespace() for _ in range(num))
    set_dumpable(False)
    return made


def _make_pid_namespace() -> PidNamespace:
    # The holder runs the C library's pause(). It shares this process's memory, so no page table is copied.
    stack = mmap.mmap(-1, HOLDER_STACK_BYTES)
    _stacks.append(stack)
    top = ctypes.addressof(ctypes.c_char.from_buffer(stack)) + HOLDER_STACK_BYTES
    flags = CLONE_VM | CLONE_NEWPID | signal.SIGCHLD
    holder = call("clone", ctypes.CDLL(None).pause, ctypes.c_void_p(top), flags, None)
    return PidNamespace(holder, os.open(f"/proc/{holder}/ns/pid", os.O_RDONLY))


def leave_shared_counts(uid: int, gid: int) -> None:
    """Move this process into a new user namespace, and a mount namespace that belongs to it.

    The kernel counts threads and waiting signals for each user of a user namespace. Two ranks in one namespace could tell
    each other something by how many they have. Only while no other process can read this one's memory.
    """
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    set_dumpable(True)  # otherwise this process may not write its own id maps
    _map_ids(uid, gid)
    set_dumpable(False)


def leave_shared_mounts() -> None:
    """Give this process, and what it starts, a mount namespace of its own."""
    call("unshare", CLONE_NEWNS)


def hide_processes() -> None:
    """Cover /proc: what it shows of the network and of shared files would let ranks exchange data past the counter."""
    mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, NOTHING)


def mount_private_folders(visible: Sequence[str]) -> None:
    """Give this mount namespace a private /tmp, /dev/shm and terminals; `visible` paths in them stay."""
    for folder in PRIVATE_FOLDERS:
        kept = {path: os.open(path, os.O_PATH) for path in visible if path.startswith(f"{folder}/")}
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, PRIVATE_LIMIT)
        for path, descriptor in kept.items():
            bind(descriptor, Path(path))
            os.close(descriptor)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, PRIVATE_TERMINALS)


def bind(descriptor: int, target: Path) -> None:
    """Mount the file or folder that `descriptor` has opened at `target`, too."""
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir() if is_folder else target.touch()
    mount(f"/proc/self/fd/{descriptor}", str(target), None, MS_BIND | MS_REC)


def drop_capabilities() -> None:
    """Give up every capability, for good and for all that this process starts."""
    for capability in range(NUM_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # the kernel knows no more capabilities, or this process may not drop any
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("II", CAPABILITY_VERSION_3, 0)
    call("capset", header, bytes(24))


def loopback_traffic() -> Traffic:
    """Return what this network namespace's loopback interface has carried so far."""
    lines = (line.partition(":") for line in Path("/proc/self/net/dev").read_text().splitlines())
    counters = next(values.split() for name, _, values in lines if name.strip() == "lo")
    retransmits = _counter("snmp", "Tcp", "RetransSegs") - _counter("netstat", "TcpExt", "TCPSynRetrans")
    # A refused connection is a request of 60 bytes and an answer of 40. Taken for two packets with TCP's usual header of 52,
    # each would hide 4 bytes of what ranks sent.
    refused = 4 * _counter("snmp", "Tcp", "AttemptFails")
    return Traffic(num_bytes=int(counters[8]) + refused, packets=int(counters[9]), retransmits=retransmits)


def _counter(file: str, group: str, name: str) -> int:
    """Return one network counter; the kernel shows a group of them as a line of names and a line of values."""
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
    """Have TCP wait for a late acknowledgement; sending again would count as traffic."""
    Path("/proc/sys/net/ipv4/tcp_early_retrans").write_text("0")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, or change how one is mounted.

    Raises: OSError if the kernel refuses.
    """
    call(
        "mount", os.fsencode(source), os.fsencode(target), kind and kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
