"""The loop of a contestant that needs a process of its own: a world size comes in, a measured launch goes out.

Such a process is started once and keeps what it may keep between launches. It measures itself, so that the way to it
and back counts for nothing.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

Launch = Callable[[int, Path], Iterable[Tensor]]


def serve(launch: Launch) -> None:
    """Answer each world size on standard input with a line of JSON, until standard input ends.

    launch: runs the reference test once on that many ranks, in an empty folder, and returns one tensor per rank.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever ranks print must not come between the answers
    answers.write("ready\n")
    for line in sys.stdin:
        seconds, tensors = _timed(launch, int(line))
        answers.write(json.dumps({"seconds": seconds, "sums": [tensor.sum().item() for tensor in tensors]}) + "\n")


def _timed(launch: Launch, world_size: int) -> tuple[float, list[Tensor]]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        tensors = list(launch(world_size, Path(folder)))
        return time.perf_counter() - start, tensors


def result_file(folder: Path, rank: int) -> Path:
    """Return where a rank without a pipe to its parent leaves its tensor."""
    return folder / f"rank{rank}.pt"


def load_results(folder: Path, world_size: int) -> list[Tensor]:
    """Return every rank's tensor from its file."""
    return [torch.load(result_file(folder, rank)) for rank in range(world_size)]
