"""Where the ranks of a job compute, and by which backend they communicate: NCCL if each has a GPU to itself, else gloo."""

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Without a driver there is no GPU, and no need to wait until torch says so.
DRIVER = Path("/dev/nvidiactl")
PROBE_S = 60.0  # a first import of torch from a cold or shared disk

# Runs in a separate process: a process that has asked CUDA anything cannot fork ranks that use it.
ASK_TORCH = """
import json, os, torch
shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
count = torch.cuda.device_count()
found = [torch.cuda.get_device_properties(number) for number in range(count)]
print(json.dumps([[str(gpu.uuid), shown[i] if shown else str(i), gpu.name] for i, gpu in enumerate(found)]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that a process may use."""

    uuid: str
    """Its identity, the same for every process that sees it."""

    handle: str
    """What the process that sees it puts into CUDA_VISIBLE_DEVICES to use this GPU only."""

    name: str = ""
    """Its model, such as "NVIDIA H100"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the ranks of a launch compute."""

    gpus: tuple[Gpu, ...]
    """By rank, the GPU that it has to itself; empty if all ranks compute on the CPU."""

    reason: str
    """Why, in a few words."""

    @property
    def backend(self) -> str:
        """The backend of the ranks, as `init_process_group` calls it."""
        return backend_on(self.gpus)

    def __str__(self) -> str:
        """Return the choice and its reason, for a person."""
        return f"{'NCCL on GPUs' if self.gpus else 'gloo on the CPU'} ({self.reason})"


def backend_on(gpus: Sequence[object]) -> str:
    """Return the backend of ranks that have these GPUs, or none."""
    return "nccl" if gpus else "gloo"


def on_cpu(reason: str) -> Placement:
    """Return the placement of all ranks on the CPU, which is possible everywhere."""
    return Placement(gpus=(), reason=reason)


def place_ranks(seen: Sequence[Sequence[Gpu]]) -> Placement:
    """Give every rank a GPU to itself, or none to any.

    NCCL refuses two ranks on one GPU, and a process group has one backend for all its ranks.

    seen: by rank, the GPUs that it could use; ranks on the same machine may see the same ones
    """
    taken: dict[str, Gpu] = {}
    for rank, gpus in enumerate(seen):
        free = next((gpu for gpu in gpus if gpu.uuid not in taken), None)
        if free is None:
            return on_cpu(_shortage(rank, seen))
        taken[free.uuid] = free
    return Placement(gpus=tuple(taken.values()), reason=f"{_each(len(seen))} has a GPU to itself")


def _shortage(rank: int, seen: Sequence[Sequence[Gpu]]) -> str:
    num_gpus = len({gpu.uuid for gpus in seen for gpu in gpus})
    if num_gpus == 0:
        return "there is no GPU"
    if not seen[rank]:
        return f"rank {rank} of {len(seen)} sees no GPU"
    return f"{len(seen)} ranks would share {num_gpus} GPU{'s' * (num_gpus > 1)}"


def _each(world_size: int) -> str:
    return "the only rank" if world_size == 1 else f"each of {world_size} ranks"


@functools.cache
def visible_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that PyTorch can use in this process, in CUDA's order; none if PyTorch does not answer.

    With a driver this takes as long as importing torch, without one no time.
    """
    if not DRIVER.exists():
        return ()
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-c", ASK_TORCH], capture_output=True, text=True, check=True, timeout=PROBE_S
        )
        return tuple(Gpu(uuid=uuid, handle=handle, name=name) for uuid, handle, name in json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
