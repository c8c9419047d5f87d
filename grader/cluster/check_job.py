"""`course check --on`: one job whose tasks run the ranks, and whose first task judges; and the command that waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from course_env.errors import CourseError, LaunchError
from grader.batch.judging import stopped_by_signals
from grader.cluster.one_job import sent, wait_for
from grader.course.catalog import Course, load_course
from grader.course.judging.judge_process import JudgeEnd, RunningJudges, SubprocessJudge
from grader.course.judging.record import Record
from grader.harness.agents.allocation import be_agent
from grader.harness.protocol.files import make_key, write_whole
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import strongest
from slurm.executors import Executor
from slurm.profile import Profile
from slurm.task import current_task


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the job is told."""

    root: str
    """Of the course, whose assignments/ it checks."""

    exercises: tuple[str, ...]
    seed: int
    walls: tuple[Wall, ...]
    """Which will do, the best first."""


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the job found."""

    wall: Wall
    num_tasks: int
    records: tuple[Record, ...]
    end: JudgeEnd


class CheckFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why the job could find nothing."""

    reason: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How far a check is. `state`: of the job, as its place calls it, while no test has finished."""

    state: str
    done: int = 0
    every: int = 0


# The command.


@contextmanager
def check_on(
    executor: Executor,
    profile: Profile,
    folder: Path,
    plan: CheckPlan,
    tell: Callable[[Stage], None],
) -> Iterator[Checked]:
    """Send the job, wait for it, and give what it found; when the block is left, nothing of it is there any more.

    Raises: ExecutorError if the job is not taken, or ends without a word; LaunchError if it could find nothing.
    """
    write_whole(folder / "plan.json", msgspec.json.encode(plan))
    make_key(folder)  # what tasks wait for, so it comes last
    with sent(executor, "check", partial(run_check, str(folder)), folder) as name:
        outcome = wait_for(
            lambda: _read(folder / "outcome.json", Checked | CheckFailed),
            executor,
            name,
            profile=profile,
            folder=folder,
            tell=lambda state: tell(_read(folder / "stage.json", Stage) or Stage(state=state)),
        )
        if isinstance(outcome, CheckFailed):
            raise LaunchError(outcome.reason)
        yield outcome


def _read(path: Path, kind: Any) -> Any:
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


# The job.


def run_check(folder: str) -> None:
    """Be one task of the job: what submitit calls."""
    seat = current_task()
    path = Path(folder)
    try:
        be_agent(path, seat, partial(_lead, path, seat.num_tasks))
    except CourseError as error:
        if seat.rank == 0:  # the others' errors are in their logs
            write_whole(path / "outcome.json", msgspec.json.encode(CheckFailed(reason=str(error))))
        raise


def _lead(folder: Path, num_tasks: int) -> None:
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=CheckPlan)
    checked = _judge(load_course(Path(plan.root)), plan, folder, num_tasks)
    write_whole(folder / "outcome.json", msgspec.json.encode(checked))


def _judge(course: Course, plan: CheckPlan, folder: Path, num_tasks: int) -> Checked:
    wall = strongest(plan.walls)
    if wall is None:
        raise LaunchError(f"None of these walls is to be had on the node: {', '.join(plan.walls)}.")
    judges = RunningJudges()
    judge = SubprocessJudge(
        course=course,
        wall=wall,
        seed=plan.seed,
        judges=judges,
        options=("--agents", str(folder)),
        watch=lambda done, every: write_whole(
            folder / "stage.json", msgspec.json.encode(Stage(state="RUNNING", done=done, every=every))
        ),
        public_only=True,
    )
    with stopped_by_signals(judges):
        try:
            records = judge(course.root / "assignments", course.select(plan.exercises))
        except LaunchError:
            records = []  # how the judge ended says why
    return Checked(wall=wall, num_tasks=num_tasks, records=tuple(records), end=judge.ends[-1])
