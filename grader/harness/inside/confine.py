"""What a rank gives up before it runs student code; how much depends on the wall that it runs behind."""

import math
import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grader.harness.inside import namespaces, seccomp
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.wall import Wall

ADDRESS_SPACE_BYTES = 4 << 30  # torch maps 0.8 GB, with DDP and AdamW
FILE_BYTES = 128 << 20  # a result, the largest file that a rank may write
OPEN_FILES = 256
OPEN_FILES_WITH_GPU = 4096  # devices, and NCCL's connections: for each channel, one to each peer
THREADS_PER_RANK = 100  # each process group starts about 3, and a mesh has many
PROCESSES_FOR_CHILDREN = 64
CPU_SECONDS_PER_SECOND = 4  # more than one, because a rank may have threads; normally the deadline ends it
OUT_OF_MEMORY_FIRST = "1000"
RLIMIT_SIGPENDING = 11  # Python has no name for it; the same on x86-64 and aarch64


class Filters(NamedTuple):
    """The compiled system call filters."""

    with_children: bytes
    """For ranks that may start processes."""

    with_gpu: bytes
    """For ranks that have a GPU."""

    without: bytes
    """For all other ranks."""

    def of(self, request: LaunchRequest) -> bytes:
        """Return the filter for the ranks of a launch."""
        if request.gpus:
            return self.with_gpu
        return self.with_children if request.children else self.without


def compile_filters() -> Filters:
    """Compile the filters; done once, in the zygote.

    Raises: OSError if libseccomp is not installed, or refuses.
    """
    return Filters(
        with_children=seccomp.compile_filter(seccomp.rules(children=True)),
        with_gpu=seccomp.compile_filter(seccomp.rules(gpus=True)),
        without=seccomp.compile_filter(seccomp.rules()),
    )


def confine_rank(wall: Wall, visible: Sequence[str], filters: Filters | None, request: LaunchRequest) -> None:
    """Give up everything that a rank no longer needs, for good."""
    if wall is Wall.NESTED:
        if request.ranks_are_apart:
            namespaces.leave_shared_counts(os.getuid(), os.getgid())
        else:
            namespaces.leave_shared_mounts()
        if not request.gpus:  # ranks on NCCL meet in /dev/shm, so all of a launch share one
            namespaces.mount_private_folders(visible)
        settle_in(Path("/tmp"))  # noqa: S108 - nothing outside the launch sees it
        if request.ranks_are_apart:
            namespaces.hide_processes()
    if filters is None:
        return
    _limit(wall, request)
    if wall is Wall.NESTED:
        namespaces.drop_capabilities()
    seccomp.install(filters.of(request))


def settle_in(home: Path) -> None:
    """Make `home` the working folder, the home folder and the folder for temporary files."""
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    tempfile.tempdir = None  # forget the folder that the zygote found


def _limit(wall: Wall, request: LaunchRequest) -> None:
    limits = {
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES_WITH_GPU if request.gpus else OPEN_FILES,
        resource.RLIMIT_CPU: CPU_SECONDS_PER_SECOND * math.ceil(request.timeout_s) + 1,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        RLIMIT_SIGPENDING: 0,  # bounds queues of real-time signals and timers of timer_create; Python uses neither
    }
    if not request.gpus:  # CUDA reserves room for the memory of every device
        limits[resource.RLIMIT_AS] = ADDRESS_SPACE_BYTES
    if wall.is_bubblewrap:  # in the machine's user namespace the limit would count all processes of the user
        limits[resource.RLIMIT_NPROC] = _processes(wall, request)
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)  # a hard limit cannot be raised
        resource.setrlimit(limit, (allowed, allowed))


def _processes(wall: Wall, request: LaunchRequest) -> int:
    """Return how many threads, of all its processes, a rank's user may have in the rank's user namespace."""
    if wall is Wall.NESTED and request.ranks_are_apart:  # no other rank is in its namespace
        return THREADS_PER_RANK
    # Without children there still are the processes that hold the pid namespaces, one for each rank.
    others = PROCESSES_FOR_CHILDREN if request.children else request.world_size
    return THREADS_PER_RANK * request.world_size + others
