"""Run your answers as any other program runs: under torchrun, with none of the course's tests around them.

    torchrun --standalone --nproc-per-node 4 assignments/ch02_distributed_programming/lab/under_torchrun.py

Every rank calls what you wrote for exercises 2.2 to 2.5 and 2.7 and compares it with torch.distributed's own operations.
Ranks talk over NCCL if the node has a GPU for each of them, over gloo otherwise. Exit code 1: something differs.
"""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(seconds=60)
CHAPTER = Path(__file__).resolve().parents[1]
RIGHT, MISSING = "as torch.distributed", "not written yet"
ELEMENTS = (1_000, 100_000, 1_000_000)


def main() -> int:
    """Meet the other ranks, try every answer, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run your answers to chapter 2 under torchrun.")
    parser.add_argument("--answers", type=Path, default=CHAPTER, help="folder of your files (default: the chapter's)")
    answers = parser.parse_args().answers
    device = join()
    say(f"{dist.get_world_size()} ranks on {device.type}, {dist.get_backend()}")
    found = {file: tried(check, answers / f"{file}.py", device) for file, check in CHECKS.items()}
    for file, end in found.items():
        say(f"{file:12} {end}")
    if found["ring"] == RIGHT:
        say("all-reduce of float32 elements: yours, torch.distributed's")
        for numel, own, library in times(load(answers / "ring.py"), device):
            say(f"{numel:>12,} {own:10.2f} ms {library:10.2f} ms")
    dist.barrier()
    dist.destroy_process_group()
    return int(not {*found.values()} <= {RIGHT, MISSING})


def join() -> torch.device:
    """Meet the other ranks over NCCL or gloo, and return this rank's device."""
    local_rank, num_local = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if torch.cuda.is_available() and torch.cuda.device_count() >= num_local:
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device, timeout=PATIENCE)
        return device
    dist.init_process_group("gloo", timeout=PATIENCE)
    return torch.device("cpu")


def say(text: str) -> None:
    """Print on rank 0 alone."""
    if dist.get_rank() == 0:
        print(text, flush=True)


Check = Callable[[ModuleType, torch.device], Iterable[bool]]


def tried(check: Check, file: Path, device: torch.device) -> str:
    """Return what all ranks together found."""
    try:
        is_right = all([*check(load(file), device)])  # every comparison is made, for other ranks wait in each
    except NotImplementedError:
        return MISSING
    num_right = torch.tensor(int(is_right), device=device)
    dist.all_reduce(num_right)
    return RIGHT if num_right == dist.get_world_size() else f"right on {int(num_right)} ranks only"


def load(path: Path) -> ModuleType:
    """Import a file of the reader's, wherever it is."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slurm_env(student: ModuleType, device: torch.device) -> Iterable[bool]:
    """Compare the place that the reader reads from torchrun's variables with the process group's."""
    place = student.dist_env_from_slurm(os.environ)
    yield (place.rank, place.world_size) == (dist.get_rank(), dist.get_world_size())


def ring_shift(student: ModuleType, device: torch.device) -> Iterable[bool]:
    """Shift a transposed tensor round the ring: to the next rank, two places back, and once round."""
    x = ranked(device, 4, 5).mT
    everything, num_ranks = gathered(x.contiguous()), dist.get_world_size()
    for shift in (1, -2, num_ranks):
        yield torch.equal(student.ring_shift(x, shift), everything[(dist.get_rank() - shift) % num_ranks])


def tree(student: ModuleType, device: torch.device) -> Iterable[bool]:
    """Broadcast, reduce, scatter and gather with the last rank as the root."""
    x, root = ranked(device, 7), dist.get_world_size() - 1
    everything, is_root = gathered(x), dist.get_rank() == root
    yield torch.equal(student.tree_broadcast(x, root), everything[root])
    reduced = student.tree_reduce(x, root, op="max")
    yield torch.equal(reduced, torch.stack(everything).amax(0)) if is_root else reduced is None
    yield torch.equal(student.p2p_scatter(everything if is_root else None, root, like=x), x)
    listed = student.p2p_gather(x, root)
    yield all(map(torch.equal, listed, everything)) if is_root else listed is None


def ring(student: ModuleType, device: torch.device) -> Iterable[bool]:
    """Average over all ranks, and add up over every second rank."""
    x, num_ranks = ranked(device, 5, 7), dist.get_world_size()
    yield torch.allclose(student.ring_all_reduce(x, op="avg"), torch.stack(gathered(x)).mean(0), atol=1e-6)
    members = list(range(0, num_ranks, 2))
    group = dist.new_group(members)
    if dist.get_rank() in members:
        row, summed = x[0, : len(members)], x[0, : len(members)].clone()
        dist.all_reduce(summed, group=group)
        whole = student.ring_all_gather(student.ring_reduce_scatter(row, group), group)
        yield torch.allclose(whole, summed, atol=1e-6)


def split(student: ModuleType, device: torch.device) -> Iterable[bool]:
    """Split the ranks into even and odd ones, the last first, and let each part meet."""
    rank = dist.get_rank()
    due = list(range(rank % 2, dist.get_world_size(), 2))
    group = student.split_by_color(rank % 2, -rank)
    yield dist.get_process_group_ranks(group) == due[::-1]
    summed = torch.tensor(rank, device=device)
    dist.all_reduce(summed, group=group)
    yield int(summed) == sum(due)


CHECKS: dict[str, Check] = {
    "slurm_env": slurm_env,
    "ring_shift": ring_shift,
    "tree": tree,
    "ring": ring,
    "split": split,
}


def times(student: ModuleType, device: torch.device) -> Iterable[tuple[int, float, float]]:
    """Yield for some sizes the milliseconds of the reader's all-reduce and of the library's."""
    for numel in ELEMENTS:
        x = ranked(device, numel)
        own = best_ms(partial(student.ring_all_reduce, x), device)
        yield numel, own, best_ms(partial(dist.all_reduce, x), device)


def best_ms(call: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of five times, after one call that only warms up."""
    best = float("inf")
    for number in range(6):
        dist.barrier()
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, 1e3 * (time.perf_counter() - start)) if number else best
    return best


def ranked(device: torch.device, *shape: int) -> Tensor:
    """Return different numbers on every rank."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(dist.get_rank())).to(device)


def gathered(x: Tensor) -> list[Tensor]:
    """Return every rank's x."""
    everything = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everything, x)
    return everything


if __name__ == "__main__":
    sys.exit(main())
