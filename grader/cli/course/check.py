"""`course check`: run the public tests on one's own files, and explain what fails."""

import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from course_env.errors import CatalogError, ExitCode, LaunchError, UsageError
from grader.cli.command import counted, indented, make_console, outcome_symbol, points_text, styled
from grader.cli.wall_choice import FOR_OWN_CODE, tell_of_no_wall, wall_for_own_code
from grader.cli.whereabouts import course_here, require_utf8
from grader.cluster.check_job import CheckPlan, CheckProgress
from grader.cluster.check_request import check_on
from grader.cluster.dispatch import require_shared
from grader.cluster.one_job import logs
from grader.course.catalog import Course, Selected
from grader.course.content.graded_tests import foreign_test_files
from grader.course.judging.judge_process import JudgeEnd, JudgeRun, SubprocessJudge
from grader.course.judging.report import Record
from grader.course.judging.running_judges import RunningJudges, stopped_by_signals
from grader.course.progress import read_progress, write_progress
from grader.course.score import ExerciseScore, score_exercise
from grader.course.told_once import ToldOnce
from grader.harness.mistake import OF_THE_FILE
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall
from grader.harness.wording import shown
from slurm.executors import executor_on

COLLECTION_FAILED = {2, 4, 5}  # pytest's exit codes for tests that cannot be collected

PACKAGE_FILE = "__init__.py"

INDENT = 6

EXPLAINED = {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.NOT_GRADABLE}

CHECK_EXAMPLES = """\
examples:
  course check                             everything
  course check ch02                        one chapter
  course check ch02/ring_shift             one exercise
  course check ch02/ring_shift --seed 17   with the inputs of an earlier check
  course check ch02 --on dev               with ranks on all nodes of one job of that cluster

"""


def add_check(parser: ArgumentParser) -> None:
    """Declare the arguments of `course check`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="like ch02 or ch02/ring_shift (default: everything)")
    parser.add_argument("--seed", type=int, metavar="N", help="draw the inputs of the check that printed this seed")
    parser.add_argument(
        "--on",
        metavar="PROFILE",
        help="run the ranks in the tasks of one job of a cluster (a profile's name, or a .toml file), or of this machine (local)",
    )
    parser.set_defaults(body=course_check)


def course_check(options: Namespace) -> int:
    """Check exercises and say what is wrong with each; return the command's exit code."""
    course = course_here()
    selected = course.select(options.names)
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    console = make_console()
    where = _here if options.on is None else partial(_on, options.on)
    with where(course, selected, seed, console) as found:
        return _tell(found, course, selected, console, seed=seed, on=options.on)


def _tell(
    found: "Found", course: Course, selected: Sequence[Selected], console: Console, *, seed: int, on: str | None
) -> int:
    """Print and keep what was found; return the command's exit code."""
    if not found.run.is_whole:
        raise _failure(found.run.end, selected)
    records = found.run.records
    scored = [(pair, own := _records_of(pair, records), score_exercise(pair[1], own)) for pair in selected]
    told = ToldOnce()
    for pair, own, score in scored:
        _print_exercise(console, pair, own, score, told)
    progress = read_progress(course)
    for (chapter, exercise), _, score in scored:
        progress = progress.with_check(chapter, exercise, score)
    problem = write_progress(course, progress)
    for line in [problem, *_own_tests(selected)]:
        if line:
            console.print(line, style="dim")
    if on is not None:
        console.print(_where(found, on), style="dim")
    for placement in sorted({placement for record in records for placement in record.placements}):
        console.print(f"Launches that may use GPUs: {placement}.", style="dim")
    again = f"--seed {seed}" if on is None else f"--seed {seed} --on {on}"
    _print_summary(console, [(pair, score) for pair, _, score in scored], seed, again)
    return (
        ExitCode.ALL_PASSED if all(score.outcome is Outcome.PASSED for _, _, score in scored) else ExitCode.SOME_FAILED
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the judge reported of the public tests."""

    run: JudgeRun
    num_tasks: int = 1
    """Of the job that ran the ranks; 1 if this machine did."""


@contextmanager
def _here(course: Course, selected: Sequence[Selected], seed: int, console: Console) -> Iterator[Found]:
    yield Found(run=run_public_tests(course, selected, seed, console))


def run_public_tests(
    course: Course, selected: Sequence[Selected], seed: int | None, console: Console, options: Sequence[str] = ()
) -> JudgeRun:
    """Run the public tests of exercises on one's own files, on this machine; `options` are for the judge's pytest."""
    wall = wall_for_own_code(console)
    judges = RunningJudges()
    with stopped_by_signals(judges), console.status("starting the tests") as status:
        judge = SubprocessJudge(
            course=course,
            wall=wall,
            seed=seed,
            judges=judges,
            watch=lambda done, every: status.update(f"{done} of {every} tests"),
            public_only=True,
        )
        return judge.run(course.root / "assignments", selected, options)


@contextmanager
def _on(name: str, course: Course, selected: Sequence[Selected], seed: int, console: Console) -> Iterator[Found]:
    """Judge in one job of a cluster; its ranks run in all tasks of the job."""
    require_utf8([course.root])
    folder = course.root / "out" / "checks" / secrets.token_hex(4)
    executor, profile = executor_on(name, logs(folder), spread=True)
    require_shared(profile, [course.root])
    plan = CheckPlan(
        root=str(course.root),
        exercises=tuple(f"{chapter.short}/{exercise.id}" for chapter, exercise in selected),
        seed=seed,
        walls=FOR_OWN_CODE,
    )
    with ExitStack() as stack:
        with console.status(f"sending a job to {name}") as status:
            checking = check_on(
                executor, profile, folder, plan, lambda progress: status.update(_progress_text(progress, name))
            )
            checked = stack.enter_context(checking)
        if checked.wall is Wall.NONE:
            tell_of_no_wall(console)
        yield Found(run=checked.run, num_tasks=checked.num_tasks)


def _progress_text(progress: CheckProgress, name: str) -> str:
    return f"{progress.done} of {progress.every} tests" if progress.every else f"the job on {name} is {progress.state}"


def _where(found: Found, name: str) -> str:
    nodes = sorted({node for record in found.run.records for node in record.nodes})
    return f"\n{counted(found.num_tasks, 'task')} on {name}; ranks ran on {', '.join(nodes) or 'none of its nodes'}."


def _failure(end: JudgeEnd, selected: Sequence[Selected]) -> UsageError | CatalogError | LaunchError:
    last_lines = f"The last lines it printed:\n{shown(end.tail)}"
    if end.exit_code in COLLECTION_FAILED:
        for chapter in dict.fromkeys(chapter for chapter, _ in selected):
            if (chapter.folder / PACKAGE_FILE).exists():  # Python runs it before anything else in the folder
                file = f"assignments/{chapter.id}/{PACKAGE_FILE}"
                return UsageError(
                    f"{file} is not a file of the course, and the tests fail with it. Rename it. {last_lines}"
                )
        return CatalogError(f"The course's tests cannot be collected. {last_lines}")
    return LaunchError(
        f"{end} No test is counted. Try again; if it happens again, look for what ended it. {last_lines}"
    )


def _records_of(pair: Selected, records: Sequence[Record]) -> list[Record]:
    chapter, exercise = pair
    return [record for record in records if (record.chapter, record.exercise) == (chapter.id, exercise.id)]


def _own_tests(selected: Sequence[Selected]) -> Iterator[str]:
    """Yield a line on each test file that is not the course's, and so was not run."""
    for chapter in dict.fromkeys(chapter for chapter, _ in selected):
        for path in foreign_test_files(chapter):
            file = f"assignments/{chapter.id}/{path.name}"
            if path.parent == chapter.folder:
                yield f"Not run, because it is not the course's: {shown(file)}. To run it: python -m pytest {shown(file)}"


def _print_exercise(
    console: Console, pair: Selected, records: Sequence[Record], score: ExerciseScore, told: ToldOnce
) -> None:
    """Print an exercise: its score, and what is wrong with it."""
    chapter, exercise = pair
    name = f"{chapter.short}/{exercise.id}"
    earned = "?" if score.score is None else points_text(score.score)
    passed = sum(record.outcome is Outcome.PASSED for record in records)
    tests = f"{passed} of {len(records)} tests passed"
    head = Text.assemble(outcome_symbol(score.outcome), f" {name:<28}", f"{earned:>4} / {exercise.points:<4}")
    console.print(head, styled(score.outcome.words, score.outcome), Text(f"({tests})", style="dim"))
    for line in _explanations(name, records, score, console.width, told):
        console.print(line)


def _explanations(
    name: str, records: Sequence[Record], score: ExerciseScore, width: int, told: ToldOnce
) -> Iterator[Text]:
    """Yield what is wrong: with the file once, then the first failing test in full, and each other one in a line."""
    if score.problem:
        yield Text(_below(score.problem, width))
    failing = [record for record in records if record.outcome in EXPLAINED]
    of_the_file = [shown(record.explanation) for record in failing if record.mistake in OF_THE_FILE]
    for text in told.texts(of_the_file, name):
        yield Text(_below(text, width))
    for position, record in enumerate(record for record in failing if record.mistake not in OF_THE_FILE):
        explanation = shown(record.explanation)
        if position == 0:
            yield Text(_below(record.claim, width), style="bold")
            yield Text(_below(f"{_case(record)}\n{explanation}", width))
        else:
            line = f"{' ' * INDENT}{_case(record)}: {explanation.partition(chr(10))[0]}"
            yield Text(line if len(line) < width else f"{line[: width - 2]}…", style="dim")


def _below(text: str, width: int) -> str:
    return indented(text, INDENT, width)


def _case(record: Record) -> str:
    """Return the test's name and parameters, without its file."""
    return record.test.rpartition("::")[2]


def _print_summary(console: Console, scored: Sequence[tuple[Selected, ExerciseScore]], seed: int, again: str) -> None:
    points = sum(score.points for _, score in scored)
    total = round(sum(score.score or 0.0 for _, score in scored), 1)
    console.print(f"\nScore so far: {points_text(total)} of {points}, by the public tests. Seed {seed}.", style="bold")
    for line in _next_commands(scored, again):
        console.print(line)


def _next_commands(scored: Sequence[tuple[Selected, ExerciseScore]], again: str) -> Iterator[str]:
    """Yield what to type next for the first exercise that has not passed."""
    open_ones = [(pair, score) for pair, score in scored if score.outcome is not Outcome.PASSED]
    if not open_ones:
        yield "Everything you checked has passed. To see the rest: course list"
        return
    (chapter, exercise), score = open_ones[0]
    name = f"{chapter.short}/{exercise.id}"
    if score.outcome is Outcome.NOT_ATTEMPTED:
        yield f"Next:  fill in TODO({exercise.id}) in assignments/{chapter.id}/{exercise.file}, then: course check {name}"
    else:
        yield f"Again: course check {name} {again}"
    yield f"Hint:  course hint {name}"
