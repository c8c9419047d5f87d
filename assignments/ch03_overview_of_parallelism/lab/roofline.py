"""The lab of chapter 3, not graded: how long a split feed-forward block takes, predicted and measured on this machine.

    python assignments/ch03_overview_of_parallelism/lab/roofline.py

Two processes measure how many operations each does in a second while the other computes as well, and how many bytes each sends
in an all-reduce on gloo. From these two numbers the lab predicts what the forward pass of a feed-forward block takes that is
split over both, at several widths, and then runs it.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

WIDTHS = (16, 32, 64, 128)
RANKS = 2
VALUE_BYTES = 4  # fp32: many CPUs have no fast bf16


def least_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the time of `work` when nothing disturbs it, which is the least; both ranks begin together."""
    taken = []
    for _ in range(repeats):
        dist.barrier()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def measure(rank: int, store: str, tokens: int, repeats: int) -> None:
    """Measure both speeds, predict, run; rank 0 prints."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    h = WIDTHS[len(WIDTHS) // 2]
    x, weight, message = torch.randn(tokens, h), torch.randn(4 * h, h), torch.zeros(tokens, h)
    speed = 2 * tokens * h * 4 * h / least_seconds(lambda: x @ weight.T, repeats)
    sent = 2 * (RANKS - 1) / RANKS * VALUE_BYTES * tokens  # by each rank, for each unit of width
    bandwidth = sent * h / least_seconds(lambda: dist.all_reduce(message), repeats)
    speeds = f"{speed / 1e9:.1f} gigaflop/s, {bandwidth / 1e9:.2f} GB/s, {speed / bandwidth:.0f} operations per byte"
    lines = [
        f"each of {RANKS} ranks: {speeds}; {tokens} tokens",
        "width" + "".join(f"  {what + ', ms':>19}" for what in ("computing", "sending", "together")) + "  bound by",
        " " * 5 + f"  {'predicted':>9} {'measured':>9}" * 3 + "  predicted, measured",
    ]
    for h in WIDTHS:
        compute, whole, reduce = _block(tokens, h)
        computing = (16 * tokens * h * h / RANKS / speed, least_seconds(compute, repeats))
        sending = (sent * h / bandwidth, least_seconds(reduce, repeats))
        together = (computing[0] + sending[0], least_seconds(whole, repeats))
        columns = "".join(f"  {1e3 * first:9.2f} {1e3 * then:9.2f}" for first, then in (computing, sending, together))
        bound = (
            "sending" if sends > computes else "computing" for computes, sends in zip(computing, sending, strict=True)
        )
        lines.append(f"{h:5}{columns}  {', '.join(bound)}")
    if rank == 0:
        print("\n".join(lines))
    dist.destroy_process_group()


def _block(tokens: int, h: int) -> tuple[Callable[[], Tensor], Callable[[], object], Callable[[], object]]:
    """Return what a rank does in a split feed-forward block: its products, these and the sum over the ranks, the sum alone."""
    x, up, down = torch.randn(tokens, h), torch.randn(4 * h // RANKS, h), torch.randn(h, 4 * h // RANKS)
    message = torch.zeros(tokens, h)

    def compute() -> Tensor:
        return torch.relu(x @ up.T) @ down.T

    return compute, lambda: dist.all_reduce(compute()), lambda: dist.all_reduce(message)


def main(arguments: list[str]) -> None:
    """Read the options, start both ranks, wait for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048, help="of the micro-batch (default: 2048)")
    parser.add_argument("--repeats", type=int, default=20, help="runs of which the fastest counts (default: 20)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        multiprocessing.spawn(measure, (store, options.tokens, options.repeats), nprocs=RANKS)


if __name__ == "__main__":
    main(sys.argv[1:])
