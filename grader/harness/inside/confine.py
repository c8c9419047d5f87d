"""What a rank gives up before it runs student code, by the wall that it runs behind."""

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
OPEN_FILES_WITH_GPU = 4096  # devices, and a connection of NCCL's for each channel to each peer
THREADS_PER_RANK = 100  # each process group starts about 3, and a mesh has many
PROCESSES_FOR_CHILDREN = 64
CPU_SECONDS_PER_SECOND = 4  # a rank may have threads; the deadline is what ends it
OUT_OF_MEMORY_FIRST = "1000"


class Filters(NamedTuple):
    """The compiled system call filters: for ranks that may start children, those that have a GPU, and all others."""

    with_children: bytes
    with_gpu: bytes
    without: bytes

    def of(self, request: LaunchRequest) -> bytes:
        """Return the filter of a launch's ranks."""
        if request.gpus:
            return self.with_gpu
        return self.with_children if request.children else self.without


def compile_filters() -> Filters:
    """Return the filters, compiled once in the zygote.

    Raises: OSError if libseccomp is not there.
    """
    return Filters(
        with_children=seccomp.compile_filter(seccomp.rules(children=True)),
        with_gpu=seccomp.compile_filter(seccomp.rules(gpus=True)),
        without=seccomp.compile_filter(seccomp.rules()),
    )


def confine_rank(wall: Wall, visible: Sequence[str], filters: Filters | None, request: LaunchRequest) -> None:
    """Give up everything that a rank needs no more; irrevocable."""
    if wall is Wall.NESTED:
        if not request.gpus:  # NCCL's ranks meet in /dev/shm: theirs is the launch's
            namespaces.mount_private_folders(visible)
        settle_in(Path("/tmp"))  # noqa: S108 - its own
        if request.ranks_are_apart:
            namespaces.hide_processes()
    if filters is None:
        return
    _limit(wall, request)
    if wall is Wall.NESTED:
        namespaces.drop_capabilities()
    seccomp.install(filters.of(request))


def settle_in(home: Path) -> None:
    """Make `home` the place where files go by default."""
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    tempfile.tempdir = None  # what the zygote's imports found out does not hold here


def _limit(wall: Wall, request: LaunchRequest) -> None:
    limits = {
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES_WITH_GPU if request.gpus else OPEN_FILES,
        resource.RLIMIT_CPU: CPU_SECONDS_PER_SECOND * math.ceil(request.timeout_s) + 1,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if not request.gpus:  # CUDA reserves room for the memory of every device
        limits[resource.RLIMIT_AS] = ADDRESS_SPACE_BYTES
    if wall.is_bubblewrap:  # without a user namespace of its own it counts all processes of the user
        others = PROCESSES_FOR_CHILDREN if request.children else request.world_size  # who keep the pid namespaces
        limits[resource.RLIMIT_NPROC] = THREADS_PER_RANK * request.world_size + others
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
