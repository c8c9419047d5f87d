"""The job that `course check --on` sends: its tasks run the ranks, and the first one judges."""

from functools import partial
from pathlib import Path

import msgspec

from course_env.errors import CourseError, LaunchError
from grader.course.catalog import Course, load_course
from grader.course.judging.judge_process import JudgeRun, SubprocessJudge
from grader.course.judging.running_judges import RunningJudges, stopped_by_signals
from grader.harness.agents.allocation import be_agent
from grader.harness.protocol.files import write_whole
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import strongest
from slurm.task import current_task


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the job reads."""

    root: str
    """Of the course, whose assignments/ it checks."""

    exercises: tuple[str, ...]
    """As `Course.select` understands them."""

    seed: int
    walls: tuple[Wall, ...]
    """Those that are allowed, the strongest first."""


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the job found."""

    wall: Wall
    """The one that the judge used."""

    num_tasks: int
    run: JudgeRun


class CheckFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The job found nothing."""

    reason: str


class CheckProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a check is."""

    state: str
    """Of the job, as the cluster calls it."""

    done: int = 0
    """How many tests have finished."""

    every: int = 0
    """How many tests there are; 0 until the job says so."""


def run_check(folder: str) -> None:
    """Be one task of the job: what submitit calls."""
    task = current_task()
    path = Path(folder)
    try:
        be_agent(path, task, partial(_lead, path, task.num_tasks))
    except CourseError as error:
        if task.rank == 0:  # the errors of the others are in their logs
            write_whole(path / "outcome.json", msgspec.json.encode(CheckFailed(reason=str(error))))
        raise


def _lead(folder: Path, num_tasks: int) -> None:
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=CheckPlan)
    checked = _judge(load_course(Path(plan.root)), plan, folder, num_tasks)
    write_whole(folder / "outcome.json", msgspec.json.encode(checked))


def _judge(course: Course, plan: CheckPlan, folder: Path, num_tasks: int) -> Checked:
    wall = strongest(plan.walls)
    if wall is None:
        raise LaunchError(f"None of these walls is available on the node: {', '.join(plan.walls)}.")
    judges = RunningJudges()
    judge = SubprocessJudge(
        course=course,
        wall=wall,
        seed=plan.seed,
        judges=judges,
        options=("--agents", str(folder)),
        watch=lambda done, every: write_whole(
            folder / "progress.json", msgspec.json.encode(CheckProgress(state="RUNNING", done=done, every=every))
        ),
        public_only=True,
    )
    with stopped_by_signals(judges):
        run = judge.run(course.root / "assignments", course.select(plan.exercises))
    return Checked(wall=wall, num_tasks=num_tasks, run=run)
