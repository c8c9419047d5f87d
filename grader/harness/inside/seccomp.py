"""The system calls that ranks may not make, as a filter that libseccomp compiles and the kernel enforces.

A rank may make every call except those that reach into other processes, make namespaces or mounts, load code into the
kernel, open sockets other than TCP, let two ranks exchange data that the loopback counter does not see, or tell what the
kernel remembers or counts for more than one rank: of files, of the machine, of a user.
Unless an exercise needs children, a rank may start threads, but no process and no other program.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from grader.harness.inside.linux import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, call, prctl

LIBRARY = "libseccomp.so.2"

# libseccomp's ABI, seccomp.h.
ALLOW = 0x7FFF0000
FAIL_WITH = 0x00050000
NOT_EQUAL, GREATER, MASKED_EQUAL = 1, 6, 7
OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
BINARY_TREE = 2
UNKNOWN_CALL = -1

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
PR_SET_PTRACER = 0x59616D61

CLONE_THREAD = 0x00010000
CLONE_NEW = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
# The second byte of an ioctl's request says to what it belongs.
OF_TERMINALS, OF_SOCKETS, KIND_SHIFT, KIND_BITS = 0x54, 0x89, 8, 8
F_SETOWN_EX, F_SETPIPE_SZ = 15, 1031
SOCKET_TYPE = 0xF
SOCK_DCCP, SOCK_PACKET = 6, 10
MAP_HUGETLB = 0x40000
INT = 0xFFFFFFFF  # the kernel reads only these bits of an argument that is an int; the filter sees 64

NEEDED_BY_GPUS = (
    "memfd_create",  # CUDA does not start without it
    *("sysinfo", "mbind", "get_mempolicy", "set_mempolicy"),  # drivers place memory near their device
)
FORBIDDEN = (
    # into other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("pidfd_getfd", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "move_pages", "migrate_pages"),
    # namespaces and mounts
    *("unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen"),
    *("fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at", "name_to_handle_at"),
    # into the kernel
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "syslog", "acct", "swapon"),
    *("swapoff", "reboot", "sethostname", "setdomainname", "iopl", "ioperm", "quotactl", "vhangup", "personality"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "modify_ldt", "fanotify_init", "lookup_dcookie"),
    *("keyctl", "add_key", "request_key"),
    # memory that no limit counts
    *("memfd_secret", "memfd_create"),
    # what is in memory: by the pages of files that are, an earlier rank could tell a later one something
    *("mincore", "mbind", "get_mempolicy", "set_mempolicy"),
    # counts that the whole machine shares
    *("sysinfo", "io_setup", "quotactl_fd"),
    # data between ranks past the network
    *("shmget", "shmat", "shmctl", "semget", "semop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open"),
    *("inotify_init", "inotify_init1"),
)
# Calls that came after Linux 6.0, such as cachestat: what the latest of them show, nobody here has looked at, and libseccomp
# may not know their names. Programs fall back, as on an older kernel. The numbers are the same on every architecture;
# where these end, x32's begin.
NEW_CALLS = range(450, 512)
# They answer 0 and do nothing: advice, and orders to write out what ranks have not written. By advice a rank could choose
# what of a file is in memory, which others see by how long it takes them to read it.
WITHOUT_EFFECT = ("fadvise64", "readahead", "sync", "syncfs")
MADV_WILLNEED, MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE = 3, 12, 20, 21, 25
ADVICE_WITHOUT_EFFECT = (MADV_WILLNEED, MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE)
FLAGGED_READS = ("preadv2", "pwritev2")  # a flag asks for what is in memory and no more, another one forgets it
# They leave locks and notices on files that all ranks can read; by these, ranks could signal to each other.
FILE_COMMANDS = {
    *(fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_OFD_GETLK, fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW),
    *(fcntl.F_SETLEASE, fcntl.F_NOTIFY, fcntl.F_SETOWN, fcntl.F_SETSIG, F_SETOWN_EX),
}
# The loopback counter sees the first two; netlink lists interfaces. Ranks with children or GPUs may also use AF_UNIX.
SOCKET_FAMILIES = frozenset((socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK))
STARTING_A_PROCESS = ("fork", "vfork")
STARTING_A_PROGRAM = ("execve", "execveat")


class _Comparison(ctypes.Structure):
    """scmp_arg_cmp: one condition on one argument of a call."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class Condition(NamedTuple):
    """A condition on one argument of a call."""

    argument: int
    """Its index."""

    operator: int
    """How it must compare with `a`."""

    a: int
    """With MASKED_EQUAL: the mask."""

    b: int = 0
    """With MASKED_EQUAL: what the masked argument must equal."""


def is_int(argument: int, value: int) -> Condition:
    """Return the condition that an argument which is an int equals `value`."""
    return Condition(argument, MASKED_EQUAL, INT, value)


class Rule(NamedTuple):
    """A call that fails."""

    call: str | int
    """Its name; or its number, if libseccomp need not know it."""

    error: int
    """The error number that it fails with; 0: it answers 0 and does nothing."""

    conditions: tuple[Condition, ...] = ()
    """It fails only if all of them hold."""


INTERNET = (socket.AF_INET, socket.AF_INET6)
NOT_STREAMS = (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_RDM, socket.SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET)


def rules(*, children: bool = False, gpus: bool = False) -> tuple[Rule, ...]:
    """Return what ranks may not do. `children`: they may start processes and programs; `gpus`: they use CUDA, NCCL."""
    apart = not children and not gpus
    always = (
        *(Rule(name, errno.EPERM) for name in FORBIDDEN if not (gpus and name in NEEDED_BY_GPUS)),
        *(Rule(number, errno.ENOSYS) for number in NEW_CALLS),
        # ENOSYS makes glibc fall back to clone, whose flags a filter can read
        Rule("clone3", errno.ENOSYS),
        *(Rule("clone", errno.EPERM, (Condition(0, MASKED_EQUAL, flag, flag),)) for flag in CLONE_NEW),
        *(Rule("ioctl", errno.EPERM, (is_int(1, request),)) for request in (TIOCSTI, TIOCLINUX)),
        # otherwise two ranks could agree to read each other's memory
        Rule("prctl", errno.EPERM, (is_int(0, PR_SET_DUMPABLE), Condition(1, NOT_EQUAL, 0))),
        Rule("prctl", errno.EPERM, (is_int(0, PR_SET_PTRACER),)),
        *_rules_about_memory(),
        *_socket_rules(SOCKET_FAMILIES if apart else {*SOCKET_FAMILIES, socket.AF_UNIX}),
        *(() if gpus else _rules_against_other_requests()),
    )
    if children:
        return always
    return (*always, *_rules_against_children(), *(_rules_against_meeting() if apart else ()))


def _rules_about_memory() -> tuple[Rule, ...]:
    """Return rules against choosing, seeing and counting what is in the memory that all share."""
    return (
        *(Rule(name, 0) for name in WITHOUT_EFFECT),
        *(Rule("madvise", 0, (is_int(2, advice),)) for advice in ADVICE_WITHOUT_EFFECT),
        *(Rule(name, errno.EOPNOTSUPP, (Condition(5, NOT_EQUAL, 0),)) for name in FLAGGED_READS),
        # of huge pages the machine has a few; of a pipe's memory a user has, and who has it all makes others' pipes small
        Rule("mmap", errno.ENOMEM, (Condition(3, MASKED_EQUAL, MAP_HUGETLB, MAP_HUGETLB),)),
        Rule("fcntl", errno.EPERM, (is_int(1, F_SETPIPE_SZ),)),
    )


def _rules_against_other_requests() -> tuple[Rule, ...]:
    """Return rules against requests to anything but terminals and sockets: a file system tells what it has in memory."""
    top = 1 << (
        KIND_BITS - 1
    )  # it is 0 in one of the two kinds, 1 in the other; each other bit must be as in that kind
    return tuple(
        Rule("ioctl", errno.ENOTTY, (Condition(1, MASKED_EQUAL, (top | bit) << KIND_SHIFT, other << KIND_SHIFT),))
        for kind in (OF_TERMINALS, OF_SOCKETS)
        for bit in (1 << place for place in range(KIND_BITS - 1))
        for other in [(kind ^ bit) & (top | bit)]
    )


def _socket_rules(allowed: AbstractSet[int]) -> tuple[Rule, ...]:
    others = [family for family in range(max(allowed)) if family not in allowed]
    return (
        *(Rule("socket", errno.EAFNOSUPPORT, (is_int(0, family),)) for family in others),
        Rule("socket", errno.EAFNOSUPPORT, (Condition(0, GREATER, max(allowed)),)),
        # the judge subtracts TCP's headers from the kernel's count; others differ, which would hide some traffic
        *(
            Rule("socket", errno.EPROTONOSUPPORT, (is_int(0, family), Condition(1, MASKED_EQUAL, SOCKET_TYPE, kind)))
            for family in INTERNET
            for kind in NOT_STREAMS
        ),
        # SCTP, SMC and Multipath TCP: the judge does not find their connections
        *(
            Rule("socket", errno.EPROTONOSUPPORT, (is_int(0, family), Condition(2, GREATER, socket.IPPROTO_TCP)))
            for family in INTERNET
        ),
        Rule("socket", errno.EAFNOSUPPORT, (is_int(0, socket.AF_NETLINK), Condition(2, NOT_EQUAL, 0))),
    )


def _rules_against_children() -> tuple[Rule, ...]:
    return (
        *(Rule(name, errno.EAGAIN) for name in STARTING_A_PROCESS),
        Rule("clone", errno.EAGAIN, (Condition(0, MASKED_EQUAL, CLONE_THREAD, 0),)),
        *(Rule(name, errno.EPERM) for name in STARTING_A_PROGRAM),
    )


def _rules_against_meeting() -> tuple[Rule, ...]:
    """Return rules against what a rank that is alone does not need, and could use to tell another rank something."""
    return (
        Rule("flock", errno.EPERM),
        # by them descriptors travel, and how many are under way is counted for each user
        *(Rule(name, errno.EPERM) for name in ("sendmsg", "sendmmsg")),
        *(Rule("fcntl", errno.EPERM, (is_int(1, command),)) for command in sorted(FILE_COMMANDS)),
        # the ends of a pair without connections can be parted and named, so that others reach them; asyncio needs none
        *(
            Rule("socketpair", errno.EPERM, (Condition(1, MASKED_EQUAL, SOCKET_TYPE, kind),))
            for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
        ),
    )


def compile_filter(forbidden: tuple[Rule, ...]) -> bytes:
    """Return these rules as a program for the kernel, for this machine's architecture.

    Raises: OSError if libseccomp is not installed or refuses.
    """
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ALLOW))
    descriptor = os.memfd_create("filter")
    try:
        _succeed(library.seccomp_attr_set(context, OPTIMIZE, BINARY_TREE), "seccomp_attr_set")
        for rule in forbidden:
            _add(library, context, rule)
        _succeed(library.seccomp_export_bpf(context, descriptor), "seccomp_export_bpf")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: Rule) -> None:
    number = rule.call if isinstance(rule.call, int) else library.seccomp_syscall_resolve_name(rule.call.encode())
    if number == UNKNOWN_CALL:  # the call is newer than the library, and so one of NEW_CALLS
        return
    comparisons = (_Comparison * len(rule.conditions))(*(_Comparison(*condition) for condition in rule.conditions))
    action = ctypes.c_uint32(FAIL_WITH | rule.error)
    added = library.seccomp_rule_add_array(context, action, number, len(rule.conditions), comparisons)
    _succeed(added, f"the rule for {rule.call}")


def _succeed(returned: int, what: str) -> None:
    if returned < 0:
        raise OSError(-returned, f"{what}: {os.strerror(-returned)}")


def install(program: bytes) -> None:
    """Put a compiled filter on this process and all that it starts, for good. This process may have only one thread."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("H6xQ", len(program) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    call("prctl", PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, 0, 0)
