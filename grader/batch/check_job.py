"""`course check --on`: one job whose tasks run the ranks, and whose first task judges; and the command that waits for it."""

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from course_env.errors import CourseError, ExecutorError, LaunchError
from grader.batch.judging import stopped_by_signals
from grader.batch.result import write_whole
from grader.batch.seat import own_seat
from grader.course.catalog import Course, load_course
from grader.course.judge import JudgeEnd, RunningJudges, SubprocessJudge
from grader.course.record import Record
from grader.harness.agents.allocation import be_agent
from grader.harness.agents.roster import make_key
from grader.harness.protocol.wall import Wall
from grader.harness.sandbox.probe import strongest
from slurm.executors import Executor, Phase, wait_for_end
from slurm.profile import Profile

POLL_S = 0.5
END_S = 15.0  # until a job that has said everything is gone
TAIL_LINES = 30


class Plan(msgspec.Struct, frozen=True, kw_only=True):
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


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why the job could find nothing."""

    reason: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How far a check is. `state`: of the job, as its place calls it, while no test has finished."""

    state: str
    done: int = 0
    every: int = 0


# The command.


def check_on(
    executor: Executor,
    profile: Profile,
    folder: Path,
    plan: Plan,
    tell: Callable[[Stage], None],
) -> Checked:
    """Send the job, wait for it, and return what it found. Whatever interrupts this cancels the job.

    Raises: ExecutorError if the job is not taken, or ends without a word; LaunchError if it could find nothing.
    """
    write_whole(folder / "plan.json", msgspec.json.encode(plan))
    make_key(folder)  # what tasks wait for, so it comes last
    name = f"check-{secrets.token_hex(4)}"
    executor.submit(name, [partial(run_check, str(folder))])
    try:
        outcome = _wait(executor, name, profile, folder, tell)
    except BaseException:
        executor.cancel(name)
        raise
    wait_for_end(executor, name, END_S)
    executor.close()
    if isinstance(outcome, Failed):
        raise LaunchError(outcome.reason)
    return outcome


def _wait(
    executor: Executor, name: str, profile: Profile, folder: Path, tell: Callable[[Stage], None]
) -> Checked | Failed:
    ended_at: float | None = None
    while (outcome := _read_outcome(folder)) is None:
        try:
            status = executor.statuses(name).get(0)
        except ExecutorError as error:  # a controller that restarts; the job goes on
            tell(Stage(state=f"not known: {error}"))
            time.sleep(POLL_S)
            continue
        state = "forgotten by the queue" if status is None else status.state
        if status is not None and status.phase is not Phase.ENDED:
            ended_at = None
        elif ended_at is None:
            ended_at = time.monotonic()
        elif time.monotonic() - ended_at >= profile.settle_s:
            raise ExecutorError(f"The job ended without a word on your files: {state}.{_last_lines(folder)}")
        tell(_read_stage(folder) or Stage(state=state))
        time.sleep(POLL_S)
    return outcome


def _read_outcome(folder: Path) -> Checked | Failed | None:
    path = folder / "outcome.json"
    return msgspec.json.decode(path.read_bytes(), type=Checked | Failed) if path.exists() else None


def _read_stage(folder: Path) -> Stage | None:
    path = folder / "stage.json"
    return msgspec.json.decode(path.read_bytes(), type=Stage) if path.exists() else None


def _last_lines(folder: Path) -> str:
    logs = sorted((folder / "logs").glob("**/*_log.out"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()[-TAIL_LINES:]]
    return "\n".join([" The last lines that it printed:", *lines]) if lines else ""


# The job.


def run_check(folder: str) -> None:
    """Be one task of the job: what submitit calls."""
    seat = own_seat()
    path = Path(folder)
    try:
        be_agent(path, seat, partial(_lead, path, seat.num_tasks))
    except CourseError as error:
        if seat.task == 0:  # the others' errors are in their logs
            write_whole(path / "outcome.json", msgspec.json.encode(Failed(reason=str(error))))
        raise


def _lead(folder: Path, num_tasks: int) -> None:
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    checked = _judge(load_course(Path(plan.root)), plan, folder, num_tasks)
    write_whole(folder / "outcome.json", msgspec.json.encode(checked))


def _judge(course: Course, plan: Plan, folder: Path, num_tasks: int) -> Checked:
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
