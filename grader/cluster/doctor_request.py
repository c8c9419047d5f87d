"""`course doctor --profile`: send a short job, and say what the findings of its tasks mean for the course."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from grader.cluster.doctor_job import REDUCED_MIB, TaskFindings, run_examination
from grader.cluster.one_job import sent, wait_for
from grader.doctor.machine import Finding
from grader.harness.protocol.wall import Wall
from slurm.executors import Executor
from slurm.profile import LEAST_MINUTES, Profile

CLOCKS_APART_S = 1.0
"""By how much clocks may differ before it is a finding."""


@contextmanager
def examine_cluster(
    executor: Executor, profile: Profile, folder: Path, tell: Callable[[str], None]
) -> Iterator[list[Finding]]:
    """Send the job, wait for it, and give what it found about nodes, GPUs, network, shared folder and clocks.

    With the end of the block, job and files are gone.
    Raises: ExecutorError if the job is not taken, or ends without an answer.
    """
    folder.mkdir(parents=True)
    with sent(executor, "doctor", partial(run_examination, str(folder)), folder) as name:
        answers = wait_for(
            lambda: _read(folder), executor, name, profile=profile, folder=folder, tell=partial(_tell, folder, tell)
        )
        yield list(findings(answers, profile, here=time.time()))


def _tell(folder: Path, tell: Callable[[str], None], state: str) -> None:
    tell(f"the job is {state}; {len(_answers(folder))} tasks have answered")


def short(profile: Profile) -> Profile:
    """Return the profile with the shortest time limit that submitit can work with."""
    return msgspec.structs.replace(profile, minutes=LEAST_MINUTES)


def _read(folder: Path) -> list[TaskFindings] | None:
    """Return what the tasks found, once all have answered."""
    answers = _answers(folder)
    return answers if answers and len(answers) == _num_tasks(folder) else None


def _num_tasks(folder: Path) -> int:
    path = folder / "tasks"
    return int(path.read_text()) if path.exists() else -1


def _answers(folder: Path) -> list[TaskFindings]:
    files = (folder / "answers").glob("*.json")
    answers = (msgspec.json.decode(path.read_bytes(), type=TaskFindings) for path in files)
    return sorted(answers, key=lambda task: task.rank)


def findings(tasks: Sequence[TaskFindings], profile: Profile, *, here: float) -> Iterator[Finding]:
    """Yield what the answers of all tasks mean for the course; `here`: this machine's clock when the last one came."""
    yield _nodes(tasks, profile)
    for task in tasks:
        if task.problem:
            yield Finding(
                name=task.node,
                present=False,
                detail=task.problem,
                cost_of_absence="No check and no grading on this cluster.",
                how_to_get="`setup` and `python` of the profile prepare the nodes; administrators of the cluster know its network.",
            )
    yield _python(tasks)
    yield _walls(tasks)
    yield _gpus(tasks, profile)
    yield _network(tasks)
    yield _shared(tasks, profile)
    yield _clocks(tasks, here)


def _nodes(tasks: Sequence[TaskFindings], profile: Profile) -> Finding:
    nodes = sorted({task.node for task in tasks})
    return Finding(
        name="nodes",
        present=len(nodes) == profile.nodes,
        detail=f"{len(tasks)} tasks on {', '.join(nodes)}.",
        cost_of_absence=f"The profile asks for {profile.nodes}: ranks are spread over fewer.",
        how_to_get="`nodes` and `tasks_per_node` of the profile, and the limits of the partition (`sinfo`).",
    )


def _python(tasks: Sequence[TaskFindings]) -> Finding:
    versions = sorted({f"Python {task.python}, torch {task.torch or 'missing'}" for task in tasks})
    same = len(versions) == 1 and all(task.torch for task in tasks)
    return Finding(
        name="python",
        present=same,
        detail=" and ".join(versions) + ("." if same else ": not the same everywhere."),
        cost_of_absence="Ranks of different versions may not understand each other, or not start.",
        how_to_get="`python` of the profile: one interpreter that every node sees.",
    )


def _walls(tasks: Sequence[TaskFindings]) -> Finding:
    without = sorted({task.node for task in tasks if task.wall in {None, Wall.NONE}})
    kinds = sorted({str(task.wall or Wall.NONE) for task in tasks})
    return Finding(
        name="wall",
        present=not without,
        detail=f"{', '.join(kinds)}" + (f"; none on {', '.join(without)}." if without else " on every node."),
        cost_of_absence="`grade run` grades nothing there unless you trust the submissions.",
        how_to_get="bubblewrap on the nodes: an administrator installs it, or `setup` of the profile loads a module.",
    )


def _gpus(tasks: Sequence[TaskFindings], profile: Profile) -> Finding:
    names = sorted({name for task in tasks for name in task.gpus})
    number = sum(len(task.gpus) for task in tasks)
    without = sum(not task.gpus for task in tasks)
    asked = "The profile asks for " + (f"gres {profile.gres}" if profile.gres else "none")
    return Finding(
        name="GPUs",
        present=number > 0 and not without,
        detail=f"{number} ({', '.join(names)}). Ranks: {tasks[0].placement or 'see below'}."
        if number
        else f"None that PyTorch can use. {asked}.",
        cost_of_absence="Ranks talk through gloo, on the CPU. That is enough for every exercise that does not ask for a GPU.",
        how_to_get='`gres = "gpu:4"` in the profile, as many as `tasks_per_node`; and a PyTorch that is built for CUDA.',
    )


def _network(tasks: Sequence[TaskFindings]) -> Finding:
    backends, interfaces = ({getattr(task, name) for task in tasks} for name in ("backend", "interface"))
    works = all(task.backend for task in tasks)
    slowest = max(task.reduce_s for task in tasks)
    speed = f"all-reduce of {REDUCED_MIB} MiB over {len(tasks)} tasks in {1000 * slowest:.0f} ms"
    return Finding(
        name="network",
        present=works,
        detail=f"{'/'.join(sorted(backends))} over {'/'.join(sorted(interfaces))}: {speed}." if works else "See above.",
        cost_of_absence="Ranks of different nodes cannot talk to each other.",
        how_to_get="Look for a firewall between nodes, or the wrong interface: the job's log has the error.",
    )


def _shared(tasks: Sequence[TaskFindings], profile: Profile) -> Finding:
    slowest = max(task.shared_s for task in tasks)
    return Finding(
        name="shared folder",
        present=slowest <= max(profile.settle_s, 1.0),
        detail=f"What one task writes, all others see within {slowest:.1f} s.",
        cost_of_absence=f"Later than settle_s = {profile.settle_s:g}: items of jobs that have ended may be graded twice.",
        how_to_get=f"`settle_s = {2 * slowest + 1:.0f}` in the profile.",
    )


def _clocks(tasks: Sequence[TaskFindings], here: float) -> Finding:
    apart = max(abs(task.clock_s) for task in tasks)
    behind = max(task.time for task in tasks) - here
    return Finding(
        name="clock",
        present=apart < CLOCKS_APART_S and behind < CLOCKS_APART_S,
        detail=f"The nodes' clocks are {apart:.2f} s apart"
        + (f"; this machine's is {behind:.0f} s late." if behind >= CLOCKS_APART_S else "."),
        cost_of_absence="Times in logs of several nodes cannot be compared.",
        how_to_get="An administrator lets the nodes keep time by NTP.",
    )
