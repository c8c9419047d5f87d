"""`course doctor --profile`: a short job in which every task says what it finds, and what is made of that."""

import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from course_env.devices import Gpu, Placement, place_ranks, visible_gpus
from course_env.errors import CourseError, LaunchError
from grader.cluster.one_job import sent, wait_for
from grader.doctor.machine import Finding
from grader.harness.agents.network import network_towards
from grader.harness.protocol.files import write_whole
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import strongest
from slurm.executors import Executor
from slurm.profile import LEAST_MINUTES, Profile
from slurm.task import Task, current_task

POLL_S = 0.05
OTHERS_S = 60.0
REDUCED_MIB = 32
CLOCKS_APART_S = 1.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one task found.

    python, torch: versions
    shared_s: how long it took until what the last task had written was seen
    clock_s: by how much its clock is before that of task 0
    gpus: of this task, by name
    placement: where all tasks computed, and why; empty: they did not get so far
    backend, reduce_s: of an all-reduce of REDUCED_MIB over all tasks
    problem: what did not work, in a sentence
    """

    rank: int
    node: str
    python: str
    torch: str = ""
    wall: Wall | None = None
    interface: str = ""
    shared_s: float = 0.0
    clock_s: float = 0.0
    time: float = 0.0
    gpus: tuple[str, ...] = ()
    placement: str = ""
    backend: str = ""
    reduce_s: float = 0.0
    problem: str = ""


# The command.


@contextmanager
def examine_cluster(
    executor: Executor, profile: Profile, folder: Path, tell: Callable[[str], None]
) -> Iterator[list[Finding]]:
    """Send the job, wait for it, and give what it found of nodes, GPUs, network, shared folder and clocks.

    When the block is left, nothing of it is there any more.
    Raises: ExecutorError if the job is not taken, or ends without a word.
    """
    folder.mkdir(parents=True)
    with sent(executor, "doctor", partial(run_examination, str(folder)), folder) as name:
        told = wait_for(
            lambda: _read(folder), executor, name, profile=profile, folder=folder, tell=partial(_tell, folder, tell)
        )
        yield list(findings(told, profile, here=time.time()))


def _tell(folder: Path, tell: Callable[[str], None], state: str) -> None:
    tell(f"the job is {state}; {len(_answers(folder))} tasks have answered")


def short(profile: Profile) -> Profile:
    """Return the profile with the shortest time limit that submitit can work with."""
    return msgspec.structs.replace(profile, minutes=LEAST_MINUTES)


def _read(folder: Path) -> list[Told] | None:
    """Return what all tasks found, if all have said so."""
    told = _answers(folder)
    return told if told and len(told) == _num_tasks(folder) else None


def _num_tasks(folder: Path) -> int:
    path = folder / "tasks"
    return int(path.read_text()) if path.exists() else -1


def _answers(folder: Path) -> list[Told]:
    told = (msgspec.json.decode(path.read_bytes(), type=Told) for path in (folder / "told").glob("*.json"))
    return sorted(told, key=lambda one: one.rank)


def findings(told: Sequence[Told], profile: Profile, *, here: float) -> Iterator[Finding]:
    """Yield what the answers of all tasks mean for the course; `here`: this machine's clock, when the last had come."""
    yield _nodes(told, profile)
    for one in told:
        if one.problem:
            yield Finding(
                name=one.node,
                present=False,
                detail=one.problem,
                cost_of_absence="No check and no grading on this cluster.",
                how_to_get="`setup` and `python` of the profile prepare the nodes; administrators of the cluster know its network.",
            )
    yield _python(told)
    yield _walls(told)
    yield _gpus(told, profile)
    yield _network(told)
    yield _shared(told, profile)
    yield _clocks(told, here)


def _nodes(told: Sequence[Told], profile: Profile) -> Finding:
    nodes = sorted({one.node for one in told})
    return Finding(
        name="nodes",
        present=len(nodes) == profile.nodes,
        detail=f"{len(told)} tasks on {', '.join(nodes)}.",
        cost_of_absence=f"The profile asks for {profile.nodes}: ranks are spread over fewer.",
        how_to_get="`nodes` and `tasks_per_node` of the profile, and the limits of the partition (`sinfo`).",
    )


def _python(told: Sequence[Told]) -> Finding:
    versions = sorted({f"Python {one.python}, torch {one.torch or 'missing'}" for one in told})
    same = len(versions) == 1 and all(one.torch for one in told)
    return Finding(
        name="python",
        present=same,
        detail=" and ".join(versions) + ("." if same else ": not the same everywhere."),
        cost_of_absence="Ranks of different versions may not understand each other, or not start.",
        how_to_get="`python` of the profile: one interpreter that every node sees.",
    )


def _walls(told: Sequence[Told]) -> Finding:
    without = sorted({one.node for one in told if one.wall in {None, Wall.NONE}})
    kinds = sorted({str(one.wall or Wall.NONE) for one in told})
    return Finding(
        name="wall",
        present=not without,
        detail=f"{', '.join(kinds)}" + (f"; none on {', '.join(without)}." if without else " on every node."),
        cost_of_absence="`grade run` grades nothing there unless you trust the submissions.",
        how_to_get="bubblewrap on the nodes: an administrator installs it, or `setup` of the profile loads a module.",
    )


def _gpus(told: Sequence[Told], profile: Profile) -> Finding:
    names = sorted({name for one in told for name in one.gpus})
    number = sum(len(one.gpus) for one in told)
    without = sum(not one.gpus for one in told)
    asked = "The profile asks for " + (f"gres {profile.gres}" if profile.gres else "none")
    return Finding(
        name="GPUs",
        present=number > 0 and not without,
        detail=f"{number} ({', '.join(names)}). Ranks: {told[0].placement or 'see below'}."
        if number
        else f"None that PyTorch can use. {asked}.",
        cost_of_absence="Ranks talk through gloo, on the CPU. That is enough for every exercise that does not ask for a GPU.",
        how_to_get='`gres = "gpu:4"` in the profile, as many as `tasks_per_node`; and a PyTorch that is built for CUDA.',
    )


def _network(told: Sequence[Told]) -> Finding:
    backends, interfaces = ({getattr(one, name) for one in told} for name in ("backend", "interface"))
    works = all(one.backend for one in told)
    slowest = max(one.reduce_s for one in told)
    speed = f"all-reduce of {REDUCED_MIB} MiB over {len(told)} tasks in {1000 * slowest:.0f} ms"
    return Finding(
        name="network",
        present=works,
        detail=f"{'/'.join(sorted(backends))} over {'/'.join(sorted(interfaces))}: {speed}." if works else "See above.",
        cost_of_absence="Ranks of different nodes cannot talk to each other.",
        how_to_get="Look for a firewall between nodes, or the wrong interface: the job's log has the error.",
    )


def _shared(told: Sequence[Told], profile: Profile) -> Finding:
    slowest = max(one.shared_s for one in told)
    return Finding(
        name="shared folder",
        present=slowest <= max(profile.settle_s, 1.0),
        detail=f"What one task writes, all others see within {slowest:.1f} s.",
        cost_of_absence=f"Later than settle_s = {profile.settle_s:g}: items of jobs that have ended may be graded twice.",
        how_to_get=f"`settle_s = {2 * slowest + 1:.0f}` in the profile.",
    )


def _clocks(told: Sequence[Told], here: float) -> Finding:
    apart = max(abs(one.clock_s) for one in told)
    behind = max(one.time for one in told) - here
    return Finding(
        name="clock",
        present=apart < CLOCKS_APART_S and behind < CLOCKS_APART_S,
        detail=f"The nodes' clocks are {apart:.2f} s apart"
        + (f"; this machine's is {behind:.0f} s late." if behind >= CLOCKS_APART_S else "."),
        cost_of_absence="Times in logs of several nodes cannot be compared.",
        how_to_get="An administrator lets the nodes keep time by NTP.",
    )


# The job.


def run_examination(folder: str) -> None:
    """Be one task of the job: what submitit calls."""
    task, path = current_task(), Path(folder)
    if task.rank == 0:
        write_whole(path / "tasks", str(task.num_tasks).encode())
    told = Told(rank=task.rank, node=task.node, python=platform.python_version(), wall=strongest(Wall))
    try:
        told = _meet(told, task, path)
    except Exception as error:  # noqa: BLE001 - whatever is wrong on a node is what is looked for
        said = str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}"
        told = msgspec.structs.replace(told, problem=said)
    write_whole(path / "told" / f"{task.rank}.json", msgspec.json.encode(told))


def _meet(told: Told, task: Task, folder: Path) -> Told:
    """Return what is found together with the other tasks."""
    network = network_towards(task.first_node)
    gpus = visible_gpus()
    told = msgspec.structs.replace(told, interface=network.interface, gpus=tuple(gpu.name for gpu in gpus))
    write_whole(folder / "here" / str(task.rank), msgspec.json.encode(gpus))
    begin = time.monotonic()
    _wait_until(lambda: len(list((folder / "here").glob("[0-9]*"))) == task.num_tasks, "the files of all tasks", folder)
    told = msgspec.structs.replace(told, shared_s=time.monotonic() - begin)
    placement = place_ranks([_gpus_of(rank, folder) for rank in range(task.num_tasks)])
    if placement.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = placement.gpus[task.rank].handle
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = network.interface
    import torch

    told = msgspec.structs.replace(told, torch=str(torch.__version__), placement=str(placement))
    return _reduce(told, task, _store(task, folder, network.address), placement)


def _gpus_of(rank: int, folder: Path) -> tuple[Gpu, ...]:
    return msgspec.json.decode((folder / "here" / str(rank)).read_bytes(), type=tuple[Gpu, ...])


def _store(task: Task, folder: Path, address: str) -> Any:
    """Return the store in which all tasks meet; its address goes by the folder."""
    import torch.distributed as dist

    if task.rank == 0:
        store = dist.TCPStore(address, 0, task.num_tasks, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        write_whole(folder / "store", f"{address} {store.port}".encode())
        return store
    _wait_until((folder / "store").exists, "the address of task 0", folder)
    host, port = (folder / "store").read_text().split()
    return dist.TCPStore(host, int(port), task.num_tasks, is_master=False)  # type: ignore[attr-defined]


def _reduce(told: Told, task: Task, store: Any, placement: Placement) -> Told:
    """Return the clock's offset, and whether and how fast all tasks can reduce together."""
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
        told, backend=placement.backend, reduce_s=seconds, clock_s=now - float(clocks[0]), time=time.time()
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
