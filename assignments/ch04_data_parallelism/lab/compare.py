"""The lab of chapter 4, not graded: your data parallelism beside PyTorch's own, on the same model and the same data.

    python assignments/ch04_data_parallelism/lab/compare.py

trains a TinyGPT on one process, with your NaiveDDP and your BucketedDDP, with PyTorch's DistributedDataParallel and with
FSDP2, all on gloo; prints the losses, the collectives of a step and the bytes that a rank sends and holds; and draws them.
What you have not written yet is left out, and so is what fails or does not come to an end.
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

from picture import draw

WAYS = {
    "one process": "one_process",
    "your NaiveDDP": "naive_ddp",
    "your BucketedDDP": "bucketed_ddp",
    "PyTorch's DDP": "torch_ddp",
    "FSDP2": "fsdp",
    "FSDP2, keeping parameters": "fsdp_keeping",
}
"""The ways to train by what the tables call them; functions of training.py."""

CHAPTER = Path(__file__).resolve().parent.parent
DEADLINE_S = 60.0
# torch's dispatch modes, with which communication is counted, and FSDP2 import much; once for all ranks is enough.
PRELOAD = ["torch", "torch._dynamo", "torch.distributed.fsdp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all ranks of one way to train are told."""

    function: str
    num_ranks: int
    answers: Path
    steps: int
    store: str
    """The file through which the ranks meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What one way to train came to.

    losses: of each step, over the global batch
    calls: operations that rank 0 issued in the last step, by phase and kind
    sent_at_start, sent_per_step: bytes that rank 0 sent before the first step and in the last one
    held: bytes of parameters, gradients and optimizer state on rank 0
    problem: why there is none of this, else empty
    """

    losses: tuple[float, ...] = ()
    calls: dict[str, dict[str, int]] | None = None
    sent_at_start: float = 0.0
    sent_per_step: float = 0.0
    held: tuple[int, ...] = ()
    problem: str = ""


def main() -> None:
    """Train in every way, print two tables and write the picture."""
    options = _options()
    began = time.monotonic()
    trained = {}
    for name, function in WAYS.items():
        num_ranks = 1 if function == "one_process" else options.ranks
        trained[name] = _launch(function, num_ranks, options.answers, options.steps)
        if sys.stderr.isatty():
            print(f"{name}: {trained[name].problem or 'done'}", file=sys.stderr)
    print("\n".join(_report(trained, options.ranks)))
    options.svg.parent.mkdir(parents=True, exist_ok=True)
    curves = {name: one.losses for name, one in trained.items() if not one.problem}
    bars = {name: one.sent_per_step for name, one in trained.items() if not one.problem}
    options.svg.write_text(draw(curves, bars), encoding="utf-8")
    print(f"\nPicture: {options.svg}. {time.monotonic() - began:.0f} s.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare your data parallelism with PyTorch's own.")
    parser.add_argument("--ranks", type=int, default=2, choices=(2, 3, 4, 6, 8), help="processes (default: 2)")
    parser.add_argument("--steps", type=int, default=25, help="steps of training (default: 25)")
    parser.add_argument("--svg", type=Path, default=Path("out/ch04_lab.svg"), help="where the picture goes")
    parser.add_argument(
        "--answers", type=Path, default=CHAPTER, help="folder with naive_ddp.py and bucketed_ddp.py (default: yours)"
    )
    return parser.parse_args()


def _launch(function: str, num_ranks: int, answers: Path, steps: int) -> Trained:
    """Train in one way on processes of its own, which are ended if one of them fails or time is up."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(PRELOAD)
    ends, processes = [], []
    with tempfile.TemporaryDirectory() as meeting:
        job = Job(function=function, num_ranks=num_ranks, answers=answers, steps=steps, store=f"{meeting}/store")
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
    return _joined(results)


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


def _joined(results: list[dict[str, Any]]) -> Trained:
    """Return what rank 0 found, with the loss averaged over the ranks, whose batches are of one size."""
    first = results[0]
    if "problem" in first:
        return Trained(**first)
    losses = tuple(sum(step) / len(results) for step in zip(*(one["losses"] for one in results), strict=True))
    return Trained(**first | {"losses": losses, "held": tuple(first["held"])})


def _run_rank(rank: int, job: Job, end: Connection) -> None:
    """Be one rank: join the process group, train, and send the result, or what went wrong."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    import torch
    import torch.distributed as dist
    import training

    torch.set_num_threads(1)
    store = dist.FileStore(job.store, job.num_ranks)
    dist.init_process_group("gloo", rank=rank, world_size=job.num_ranks, store=store)
    try:
        end.send(training.train(getattr(training, job.function), job.answers, job.steps))
    except training.NotWrittenError as stub:
        end.send({"problem": f"not written yet: {stub}"})
    except Exception as error:  # noqa: BLE001 - the reader's code may raise anything, and the other ways go on
        traceback.print_exc()
        end.send({"problem": f"rank {rank}: {type(error).__name__}: {error}"})


def _report(trained: dict[str, Trained], num_ranks: int) -> list[str]:
    """Return the lines that are printed."""
    done = {name: one for name, one in trained.items() if not one.problem}
    reference = done["one process"]
    num_bytes = reference.held[0]
    return [
        f"A TinyGPT of {num_bytes // 4:,} parameters ({num_bytes:,} bytes) in steps of SGD with momentum, on {num_ranks} ranks.",
        "",
        *_table(
            ["", "first loss", "last loss", "furthest from one process", "parameters", "gradients", "optimizer state"],
            [_held_row(name, one, reference) for name, one in done.items()],
        ),
        "On the right: bytes that rank 0 holds.",
        "",
        *_table(
            ["", "forward", "backward", "after backward", "sent in a step", "of the model", "sent at start"],
            [_sent_row(name, one, num_bytes) for name, one in done.items()],
        ),
        "Operations that rank 0 issues in one step, and the bytes that it sends by ring algorithms.",
        *(f"Left out: {name}, {one.problem}." for name, one in trained.items() if one.problem),
    ]


def _held_row(name: str, one: Trained, reference: Trained) -> list[str]:
    off = max(abs(mine - due) for mine, due in zip(one.losses, reference.losses, strict=True))
    held = [f"{num_bytes:,}" for num_bytes in one.held]
    return [name, f"{one.losses[0]:.4f}", f"{one.losses[-1]:.4f}", f"{off:.1e}", *held]


def _sent_row(name: str, one: Trained, num_bytes: int) -> list[str]:
    phases = [", ".join(f"{count} {op}" for op, count in ops.items()) or "-" for ops in one.calls.values()]
    return [
        name,
        *phases,
        f"{one.sent_per_step:,.0f}",
        f"{one.sent_per_step / num_bytes:.2f} x",
        f"{one.sent_at_start:,.0f}",
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
