"""The lab of chapter 5, not graded: your schedules and your runner beside PyTorch's, on the same stages and the same data.

    python assignments/ch05_pipeline_parallelism/lab/compare.py

runs one step of eight layers on four ranks with every schedule, all on gloo, and compares the gradients with one process. What
you have not written yet is left out, and what does not come to an end is cut.
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

CHAPTER = Path(__file__).resolve().parent.parent
NUM_RANKS, NUM_LAYERS = 4, 8
DEADLINE_S = 60.0
PRELOAD = ["torch", "torch.distributed.pipelining"]

# By what the table calls it: whose it is, its name there, and how the eight layers are placed.
WAYS = {
    "your GPipe": ("yours", "gpipe_schedule", "blocks"),
    "your 1F1B": ("yours", "one_f_one_b_schedule", "blocks"),
    "your ZB-H1": ("yours", "zb_h1_schedule", "blocks"),
    "your interleaved 1F1B": ("yours", "interleaved_1f1b_schedule", "round"),
    "PyTorch's GPipe": ("torch", "ScheduleGPipe", "blocks"),
    "PyTorch's 1F1B": ("torch", "Schedule1F1B", "blocks"),
    "PyTorch's interleaved 1F1B": ("torch", "ScheduleInterleaved1F1B", "round"),
    "PyTorch's looped BFS": ("torch", "ScheduleLoopedBFS", "round"),
    "PyTorch's interleaved zero bubble": ("torch", "ScheduleInterleavedZeroBubble", "round"),
    "PyTorch's ZBV": ("torch", "ScheduleZBVZeroBubble", "V"),
    "PyTorch's DualPipeV": ("torch", "ScheduleDualPipeV", "V"),
}
HOMES = {"gpipe_schedule": "schedules", "one_f_one_b_schedule": "schedules", "zb_h1_schedule": "zero_bubble"}
HOMES["interleaved_1f1b_schedule"] = "interleaved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all ranks of one way are told."""

    whose: str
    schedule: str
    placement: str
    micro_batches: int
    answers: Path
    store: str
    """The file through which the ranks meet."""


def main() -> None:
    """Run all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--micro-batches", type=int, default=8, help="of a step (default: 8)")
    parser.add_argument(
        "--answers", type=Path, default=CHAPTER, help="the folder with your files (default: the chapter)"
    )
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    print(f"{NUM_LAYERS} layers on {NUM_RANKS} ranks, {options.micro_batches} micro-batches\n")
    print(f"{'':36}{'off by at most':>16}{'sent by ranks 0 to 3':>24}{'simulated':>12}")
    for name, (whose, schedule, placement) in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            job = Job(
                whose=whose,
                schedule=schedule,
                placement=placement,
                micro_batches=options.micro_batches,
                answers=options.answers,
                store=f"{folder}/store",
            )
            ranks = _run(context, job)
        problems = [rank for rank in ranks if isinstance(rank, str)]
        if problems:
            print(f"{name:36}{problems[0]}")
            continue
        off, sent = max(rank["off"] for rank in ranks), " ".join(str(rank["sent"]) for rank in ranks)
        print(f"{name:36}{off:16.1e}{sent:>24}{ranks[0]['makespan']:>12}")


def _run(context: Any, job: Job) -> list[Any]:
    """Return what each rank reported, a dict or the text of a problem."""
    ends = [context.Pipe(duplex=False) for _ in range(NUM_RANKS)]
    processes = [context.Process(target=_rank, args=(rank, job, ends[rank][1])) for rank in range(NUM_RANKS)]
    for process, (_, writer) in zip(processes, ends, strict=True):
        process.start()
        writer.close()
    reports: list[Any] = ["did not come to an end"] * NUM_RANKS
    deadline, open_ends = time.monotonic() + DEADLINE_S, {reader: rank for rank, (reader, _) in enumerate(ends)}
    while open_ends and (left := deadline - time.monotonic()) > 0:
        for reader in wait(list(open_ends), left):
            rank = open_ends.pop(reader)  # type: ignore[index]
            try:
                reports[rank] = reader.recv()  # type: ignore[union-attr]
            except EOFError:
                reports[rank] = "ended without a report"
        if any(isinstance(report, str) and report.startswith("!") for report in reports):
            break
    for process in processes:
        process.kill()
        process.join()
    told = [report.removeprefix("!") for report in reports if isinstance(report, str) and report.startswith("!")]
    return told or reports


def _rank(rank: int, job: Job, writer: Connection) -> None:
    """Run one way on one rank."""
    import torch
    import torch.distributed as dist

    try:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{job.store}", rank=rank, world_size=NUM_RANKS)
        writer.send(_step(rank, job))
    except NotImplementedError:
        writer.send("!not written yet")
    except Exception as error:  # noqa: BLE001 - whatever it is, the table shows it
        line = traceback.extract_tb(error.__traceback__)[-1]
        writer.send(f"!{type(error).__name__}: {str(error).splitlines()[0][:60] if str(error) else ''} ({line.name})")
    os._exit(0)  # destroying a group while ranks still talk can hang


def _step(rank: int, job: Job) -> dict[str, Any]:
    import torch
    from torch import nn
    from torch.nn import functional

    m = job.micro_batches
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(16, 16), nn.Tanh()).double() for _ in range(NUM_LAYERS)]
    x, y = torch.randn(2 * m, 16).double(), torch.randn(2 * m, 16).double()
    functional.mse_loss(nn.Sequential(*layers)(x), y).backward()
    due = [[p.grad.clone() for p in layer.parameters()] for layer in layers]
    for layer in layers:
        layer.zero_grad()

    half = NUM_LAYERS // NUM_RANKS
    mine = {
        "blocks": [list(range(half * rank, half * (rank + 1)))],
        "round": [[rank], [NUM_RANKS + rank]],
        "V": [[rank], [NUM_LAYERS - 1 - rank]],
    }[job.placement]
    chunks = [nn.Sequential(*(layers[k] for k in numbers)) for numbers in mine]
    run = _yours if job.whose == "yours" else _torchs
    sent, makespan = run(job, chunks, mine, (x, y))
    off = max(
        (p.grad - right).abs().max().item()
        for numbers in mine
        for k in numbers
        for p, right in zip(layers[k].parameters(), due[k], strict=True)
    )
    return {"off": off, "sent": sent, "makespan": makespan}


def _yours(job: Job, chunks: Any, mine: Any, data: Any) -> tuple[int, str]:
    """Run a schedule of yours with your runner; return the messages sent and the simulated time in passes of a layer."""
    import importlib

    import torch
    import torch.distributed as dist
    from torch.nn import functional

    sys.path[:0] = [str(job.answers.resolve()), str(CHAPTER.parents[1])]
    schedules, runner = importlib.import_module(HOMES[job.schedule]), importlib.import_module("pipeline_runner")
    m = job.micro_batches
    sizes = (NUM_RANKS, len(chunks), m) if len(chunks) > 1 else (NUM_RANKS, m)
    schedule = getattr(schedules, job.schedule)(*sizes)
    count, isend = [0], dist.isend

    def counting(*arguments: Any, **options: Any) -> Any:
        count[0] += 1
        return isend(*arguments, **options)

    dist.isend = counting
    x, y = data
    pipeline = runner.PipelineRunner(chunks, functional.mse_loss, (2, 16), torch.float64)
    pipeline.run(schedule, list(x.chunk(m)), list(y.chunk(m)))
    return count[0], _simulated(schedule, len(mine[0]))


def _simulated(schedule: Any, layers_per_chunk: int) -> str:
    import importlib

    split = any(kind == "W" for actions in schedule for kind, _, _ in actions)
    times = {"t_f": layers_per_chunk, "t_b": layers_per_chunk * (1 if split else 2), "t_w": layers_per_chunk * split}
    try:
        return str(importlib.import_module("simulator").simulate(schedule, **times).makespan)
    except (NotImplementedError, AttributeError):
        return "-"


def _torchs(job: Job, chunks: Any, mine: Any, data: Any) -> tuple[int, str]:
    """Run a schedule of torch.distributed.pipelining; return the messages sent."""
    import torch
    import torch.distributed as dist
    from torch.distributed import pipelining
    from torch.distributed.pipelining import schedules
    from torch.nn import functional

    m, num_stages = job.micro_batches, NUM_RANKS * len(chunks)
    numbers = [numbers[0] * num_stages // NUM_LAYERS for numbers in mine]
    stages = [
        pipelining.PipelineStage(chunk, number, num_stages, torch.device("cpu"))
        for chunk, number in zip(chunks, numbers, strict=True)
    ]
    count, make = [0], dist.P2POp

    def counting(operation: Any, *arguments: Any, **options: Any) -> Any:
        count[0] += operation is dist.isend
        return make(operation, *arguments, **options)

    dist.P2POp = counting
    schedule = getattr(schedules, job.schedule)(
        stages if len(stages) > 1 else stages[0], m, loss_fn=functional.mse_loss
    )
    x, y = data
    first, last = 0 in numbers, num_stages - 1 in numbers
    schedule.step(*([x] if first else []), **({"target": y} if last else {}))
    return count[0], "-"


if __name__ == "__main__":
    main()
