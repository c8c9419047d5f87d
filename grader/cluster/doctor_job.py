"""The job that `course doctor --profile` sends: every task writes down what it finds on its node and between nodes."""

import os
import platform
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from course_env.devices import Gpu, Placement, place_ranks, visible_gpus
from course_env.errors import CourseError, LaunchError
from grader.harness.agents.network import network_towards
from grader.harness.protocol.files import write_whole
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import strongest
from slurm.task import Task, current_task

POLL_S = 0.05
OTHERS_S = 60.0
"""How long a task waits for the others."""

REDUCED_MIB = 32
"""The size of the timed all-reduce."""


class TaskFindings(msgspec.Struct, frozen=True, kw_only=True):
    """What one task found. What it did not get to has its default."""

    rank: int
    node: str
    python: str
    """The version."""

    torch: str = ""
    """The version."""

    wall: Wall | None = None
    """The strongest that is available on the node."""

    interface: str = ""
    """The network interface by which the node reaches the first one."""

    shared_s: float = 0.0
    """How long it took until the files of all other tasks were visible."""

    clock_s: float = 0.0
    """By how much the node's clock is ahead of that of task 0."""

    time: float = 0.0
    """The node's clock when the task was done, as seconds since the epoch."""

    gpus: tuple[str, ...] = ()
    """The names of those that this task sees."""

    placement: str = ""
    """Where the ranks of all tasks computed, and why."""

    backend: str = ""
    """Over which all tasks reduced together."""

    reduce_s: float = 0.0
    """How long an all-reduce of REDUCED_MIB over all tasks took."""

    problem: str = ""
    """What did not work, in a sentence."""


def run_examination(folder: str) -> None:
    """Be one task of the job: what submitit calls."""
    task, path = current_task(), Path(folder)
    if task.rank == 0:
        write_whole(path / "tasks", str(task.num_tasks).encode())
    found = TaskFindings(rank=task.rank, node=task.node, python=platform.python_version(), wall=strongest(Wall))
    try:
        found = _meet(found, task, path)
    except Exception as error:  # noqa: BLE001 - the job looks for whatever is wrong on a node
        problem = str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}"
        found = msgspec.structs.replace(found, problem=problem)
    write_whole(path / "answers" / f"{task.rank}.json", msgspec.json.encode(found))


def _meet(found: TaskFindings, task: Task, folder: Path) -> TaskFindings:
    """Return the findings with what takes all tasks: shared folder, placement of ranks, network and clocks."""
    network = network_towards(task.first_node)
    gpus = visible_gpus()
    found = msgspec.structs.replace(found, interface=network.interface, gpus=tuple(gpu.name for gpu in gpus))
    write_whole(folder / "here" / str(task.rank), msgspec.json.encode(gpus))
    begin = time.monotonic()
    _wait_until(lambda: len(list((folder / "here").glob("[0-9]*"))) == task.num_tasks, "the files of all tasks", folder)
    found = msgspec.structs.replace(found, shared_s=time.monotonic() - begin)
    placement = place_ranks([_gpus_of(rank, folder) for rank in range(task.num_tasks)])
    if placement.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = placement.gpus[task.rank].handle
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = network.interface
    import torch

    found = msgspec.structs.replace(found, torch=str(torch.__version__), placement=str(placement))
    return _reduce(found, task, _store(task, folder, network.address), placement)


def _gpus_of(rank: int, folder: Path) -> tuple[Gpu, ...]:
    return msgspec.json.decode((folder / "here" / str(rank)).read_bytes(), type=tuple[Gpu, ...])


def _store(task: Task, folder: Path, address: str) -> Any:
    """Return the store in which all tasks meet. The first task writes its address to the folder."""
    import torch.distributed as dist

    if task.rank == 0:
        store = dist.TCPStore(address, 0, task.num_tasks, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        write_whole(folder / "store", f"{address} {store.port}".encode())
        return store
    _wait_until((folder / "store").exists, "the address of task 0", folder)
    host, port = (folder / "store").read_text().split()
    return dist.TCPStore(host, int(port), task.num_tasks, is_master=False)  # type: ignore[attr-defined]


def _reduce(found: TaskFindings, task: Task, store: Any, placement: Placement) -> TaskFindings:
    """Return the findings with the clock's offset and the speed of an all-reduce over all tasks."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda" if placement.gpus else "cpu")
    timeout = timedelta(seconds=OTHERS_S)
    dist.init_process_group(placement.backend, store=store, rank=task.rank, world_size=task.num_tasks, timeout=timeout)
    x = torch.ones(REDUCED_MIB << 18, device=device)
    dist.all_reduce(x)  # connects
    dist.barrier()
    now = time.time()
    clocks = torch.zeros(task.num_tasks, dtype=torch.float64, device=device)
    clocks[task.rank] = now
    dist.all_reduce(clocks)
    begin = time.monotonic()
    dist.all_reduce(x)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.monotonic() - begin
    if float(x[-1]) != task.num_tasks**2:
        raise LaunchError(
            f"An all-reduce over {placement.backend} gave {float(x[-1]):g} instead of {task.num_tasks**2}."
        )
    dist.barrier()
    dist.destroy_process_group()
    return msgspec.structs.replace(
        found, backend=placement.backend, reduce_s=seconds, clock_s=now - float(clocks[0]), time=time.time()
    )


def _wait_until(condition: Callable[[], bool], what: str, folder: Path) -> None:
    end = time.monotonic() + OTHERS_S
    while not condition():
        if time.monotonic() >= end:
            raise LaunchError(
                f"{socket.gethostname()} has not seen {what} in {folder} for {OTHERS_S:g} s. "
                "`folder` of the profile must name a folder that all nodes share."
            )
        time.sleep(POLL_S)
