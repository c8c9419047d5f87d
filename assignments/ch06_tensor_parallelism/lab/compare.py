"""The lab of chapter 6, not graded: your tensor parallelism beside PyTorch's DTensor, on the same model and the same tokens.

    python assignments/ch06_tensor_parallelism/lab/compare.py

takes a small language model through one pass: on one process, with your exercises 6.2 to 6.5, with DTensor's ColwiseParallel and
RowwiseParallel, and with SequenceParallel and loss_parallel besides, all on gloo. It prints the losses, how far any gradient
is from that of one process, the collectives, and the bytes that a rank sends. What you have not written yet is left out.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

WAYS = {
    "one process": "one_process",
    "your layers": "yours",
    "DTensor": "dtensor",
    "DTensor, sequence and loss cut": "dtensor_sequence",
}
"""The ways to cut the model by what the table calls them; functions of ways.py."""

CHAPTER = Path(__file__).resolve().parent.parent
DEADLINE_S = 90.0
# torch's dispatch modes, with which communication is counted, and DTensor import much; once for all ranks is enough.
PRELOAD = ["torch", "torch._dynamo", "torch.distributed.tensor.parallel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all ranks of one way are told."""

    function: str
    num_ranks: int
    answers: Path
    store: str
    """The file through which the ranks meet."""


def main() -> None:
    """Take a pass in every way, and print a table."""
    options = _options()
    began = time.monotonic()
    found = {}
    for name, function in WAYS.items():
        num_ranks = 1 if function == "one_process" else options.ranks
        found[name] = _launch(function, num_ranks, options.answers)
    print("\n".join(_report(found, options.ranks)))
    print(f"\n{time.monotonic() - began:.0f} s.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare your tensor parallelism with PyTorch's DTensor.")
    parser.add_argument("--ranks", type=int, default=2, choices=(2, 4), help="processes (default: 2)")
    parser.add_argument(
        "--answers", type=Path, default=CHAPTER, help="folder with your files (default: this chapter's)"
    )
    return parser.parse_args()


def _launch(function: str, num_ranks: int, answers: Path) -> dict[str, Any]:
    """Take a pass on processes of its own, which are ended if one of them fails or time is up."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(PRELOAD)
    ends, processes = [], []
    with tempfile.TemporaryDirectory() as meeting:
        job = Job(function=function, num_ranks=num_ranks, answers=answers, store=f"{meeting}/store")
        for rank in range(num_ranks):
            end, other_end = context.Pipe(duplex=False)
            processes.append(context.Process(target=_run_rank, args=(rank, job, other_end), daemon=True))
            processes[-1].start()
            other_end.close()
            ends.append(end)
        results = _collect(ends)
        for process in processes:
            process.kill()
            process.join()
    problem = next((one for one in results if "problem" in one), None)
    return problem or results[0] | {"furthest": max(one["furthest"] for one in results)}


def _collect(ends: list[Connection]) -> list[dict[str, Any]]:
    """Return what each rank sent, or only the first problem."""
    deadline = time.monotonic() + DEADLINE_S
    results: dict[Connection, dict[str, Any]] = {}
    while len(results) < len(ends):
        ready = wait([end for end in ends if end not in results], deadline - time.monotonic())
        if not ready:
            waiting = [rank for rank, end in enumerate(ends) if end not in results]
            return [
                {"problem": f"ranks {waiting} were not done after {DEADLINE_S:.0f} s: do they wait for each other?"}
            ]
        for end in ready:
            try:
                results[end] = end.recv()
            except EOFError:
                results[end] = {"problem": "a rank ended without a result"}
            if "problem" in results[end]:
                return [results[end]]
    return [results[end] for end in ends]


def _run_rank(rank: int, job: Job, end: Connection) -> None:
    """Be one rank: join the process group, take the pass, and send the result, or what went wrong."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    import torch
    import torch.distributed as dist
    import ways

    torch.set_num_threads(1)
    store = dist.FileStore(job.store, job.num_ranks)
    dist.init_process_group("gloo", rank=rank, world_size=job.num_ranks, store=store)
    try:
        end.send(ways.measure(getattr(ways, job.function), job.answers, cut_loss=job.function == "dtensor_sequence"))
    except ways.NotWrittenError as stub:
        end.send({"problem": f"not written yet: {stub}"})
    except Exception as error:  # noqa: BLE001 - the reader's code may raise anything, and the other ways go on
        traceback.print_exc()
        end.send({"problem": f"rank {rank}: {type(error).__name__}: {error}"})


def _report(found: dict[str, dict[str, Any]], num_ranks: int) -> list[str]:
    """Return the lines that are printed."""
    done = {name: one for name, one in found.items() if "problem" not in one}
    rows = [
        [
            name,
            f"{one['loss']:.6f}",
            f"{one['furthest']:.1e}",
            *(
                ", ".join(f"{count} {op}" for op, count in one["calls"][phase].items()) or "-"
                for phase in ("forward", "backward")
            ),
            f"{one['sent']:,.0f}",
        ]
        for name, one in done.items()
    ]
    head = ["", "loss", "gradients off by", "forward", "backward", "bytes sent"]
    return [
        f"One pass of a language model with one block, cut over {num_ranks} ranks.",
        "",
        *_table(head, rows),
        "Operations that rank 0 issues, and the bytes that it sends by ring algorithms. What an operation of DTensor does inside,",
        "such as the reductions of loss_parallel, is not counted.",
        *(f"Left out: {name}, {one['problem']}." for name, one in found.items() if "problem" in one),
    ]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return lines with the columns below each other: names to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in [head, *rows]
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


if __name__ == "__main__":
    main()
