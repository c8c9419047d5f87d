"""`grade run`: submissions in, result files and a table out."""

import errno
import secrets
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from course_env.errors import ExitCode, UsageError
from grader.batch.batch import Batch, plan_batch
from grader.batch.intake.find import HandIns, Submission, find_submissions
from grader.batch.intake.tree import printable
from grader.batch.lock import only_one
from grader.batch.result import ResultOfChapter, SubmissionResult
from grader.batch.resume import earlier_seed
from grader.batch.workers import Graded
from grader.cli.command import counted, make_console, points_text
from grader.cli.result_table import print_results
from grader.cli.venue import Venue, venue_for
from grader.cli.wall_choice import wall_elsewhere, wall_for_submissions
from grader.cli.whereabouts import course_here
from grader.cluster.rounds import BatchProgress
from grader.course.catalog import Chapter, Course
from grader.course.judging.running_judges import stopped_by_signals
from grader.harness.outcome import Outcome
from grader.harness.protocol.wall import Wall
from grader.harness.wording import shown
from slurm.executors import ON_THIS_MACHINE
from slurm.profile import known_profiles

RUN_DESCRIPTION = """\
Grade submissions, hidden tests included; write a result file for each, and print a table.

A submission is a folder named after its student: alice/ch02_distributed_programming/<files>,
or a zip or tar file that holds the same: alice.zip, alice.tar, alice.tar.gz (also .bz2, .xz).
Also understood: a copy of the whole course (alice/assignments/ch02_.../<files>),
the chapter's folder itself, alice/<files> if they fit one chapter only,
and each of these in up to four more folders, or in an archive inside alice/.
Result files are named after the student; characters other than letters, digits,
spaces and . _ - + @ , = are written as in a URL: O'Neil is O%27Neil.json.
Only the files that a chapter declares are taken, and archives are never unpacked to disk.
A file that cannot be used costs only that student points; the result says why.
"""

RUN_EXAMPLES = """\
examples:
  grade run submitted/alice                              one student, everything
  grade run submitted/alice.zip                          the same from an archive
  grade run submitted/* --chapters ch02 --out out/week2  a class, one chapter
  grade run submitted/* --chapters ch02 --out out/week2 --resume
                                                         go on after an interruption

"""

FULL = {errno.ENOSPC, errno.EDQUOT}

QUIET_S = 30.0
"""Time between two lines on the state of the queue, if output does not go to a terminal."""


def add_run(parser: ArgumentParser) -> None:
    """Declare the arguments of `grade run`."""
    parser.add_argument(
        "submissions", nargs="+", type=Path, metavar="SUBMISSION", help="a folder, zip or tar with a student's files"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results go here (default: out/grade in the course)")
    parser.add_argument("--chapters", metavar="NAMES", help="only these, like ch02 or ch02,ch04 (default: all)")
    parser.add_argument("--workers", type=_at_least_one, metavar="N", help="judges at a time (default: one per CPU)")
    parser.add_argument(
        "--on",
        metavar="PROFILE",
        help=f"grade in jobs: on a cluster ({', '.join(known_profiles())}, or a .toml file), or here (local, debug)",
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="with --on: run the ranks of a test in all tasks of a job, on all its nodes; traffic is then not checked, and results say so",
    )
    parser.add_argument(
        "--max-jobs", type=_at_least_one, default=64, metavar="N", help="with --on: jobs at a time (default: 64)"
    )
    parser.add_argument("--resume", action="store_true", help="keep results whose files and tests have not changed")
    parser.add_argument(
        "--all-tests", action="store_true", help="run every test, even where one of its aspect has failed before"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draw the inputs of the batch that printed this seed")
    parser.add_argument(
        "--wall",
        type=Wall,
        choices=[*Wall],
        help="use only this wall (default: nested, else flat; on a cluster: nested)",
    )
    parser.add_argument(
        "--trust-submissions",
        action="store_true",
        help="grade even without a sandbox, behind the strongest wall there is (on a cluster, name it: --wall none)",
    )
    parser.set_defaults(body=grade_run)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number, at least 1, but is '{text}'")
    return int(text)


def grade_run(options: Namespace) -> int:
    """Grade submissions; return the command's exit code."""
    course = course_here()
    chapters = _chapters(course, options.chapters)
    hand_ins = find_submissions(options.submissions, course)
    out = (options.out or course.root / "out" / "grade").resolve()
    console = make_console()
    if options.on is None or options.on in ON_THIS_MACHINE:
        wall = wall_for_submissions(console, options.wall, trusted=options.trust_submissions)
    else:
        wall = wall_elsewhere(console, options.wall)
    batch = plan_batch(course, chapters, seed=_seed(options, out), wall=wall, out=out, all_tests=options.all_tests)
    venue = venue_for(options, hand_ins.submissions, batch)
    _make(out)
    with only_one(out):
        console.print("\n".join(_not_graded(hand_ins)), end="\n" * bool(hand_ins.problems or hand_ins.clutter))
        code = _grade(batch, hand_ins.submissions, venue, console)
    if hand_ins.problems:
        console.print("\n".join(["", *_not_graded(hand_ins)]))
    return ExitCode.USAGE if hand_ins.problems and code in {ExitCode.ALL_PASSED, ExitCode.SOME_FAILED} else code


def _make(out: Path) -> None:
    """Make the folder for results.

    Raises: UsageError if nothing can be written there.
    """
    try:
        out.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # results are for staff only, and other people use this machine
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        if error.errno in FULL:
            raise
        reason = "it is not a folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise UsageError(f"Results cannot be written to {out}: {reason}. Choose another folder: --out DIR") from None


def _grade(batch: Batch, submissions: Sequence[Submission], venue: Venue, console: Console) -> int:
    console.print(_opening(batch, submissions, venue.description))
    results: dict[str, SubmissionResult] = {}
    try:
        with (
            stopped_by_signals(batch.running_judges),
            BatchDisplay(console, submissions) as display,
            closing(venue.grade(display)) as grading,
        ):
            for graded in grading:
                results[graded.submission.name] = graded.result
                display.finish(graded)
    except KeyboardInterrupt:
        console.print(_interrupted(results, submissions, venue.end(console)))
        return ExitCode.INTERRUPTED
    except OSError:
        console.print("Stopped. Results so far are kept. Type the same command with --resume to grade the rest.")
        raise
    in_order = [results[submission.name] for submission in submissions]
    print_results(console, in_order, batch.chapters)
    console.print(f"\nResults: {_shown(batch.results)}/<submission>.json, schema {_shown(batch.schema)}")
    return _exit_code(in_order)


def _chapters(course: Course, names: str | None) -> tuple[Chapter, ...]:
    if not course.chapters:
        raise UsageError(f"The course at {course.root} has no chapter.")
    wanted = {course.chapter(name).id for name in names.split(",")} if names else None
    return tuple(chapter for chapter in course.chapters if wanted is None or chapter.id in wanted)


def _seed(options: Namespace, out: Path) -> int:
    """Return the seed that was asked for; else that of the batch that is resumed; else a fresh one."""
    if options.seed is not None:
        return int(options.seed)
    earlier = earlier_seed(out) if options.resume else None
    return secrets.randbelow(1 << 31) if earlier is None else earlier


def _not_graded(hand_ins: HandIns) -> Iterator[str]:
    """Yield what was named on the command line and is not graded."""
    for problem in hand_ins.problems:
        yield f"Not graded: {shown(problem)}"
    if hand_ins.clutter:
        names = ", ".join(map(printable, hand_ins.clutter))
        yield f"Skipped, because systems write it and nobody handed it in: {names}."


def _opening(batch: Batch, submissions: Sequence[Submission], venue: str) -> str:
    chapters = ", ".join(chapter.short for chapter in batch.chapters)
    return f"Grading {counted(len(submissions), 'submission')} on {chapters}: {venue}, seed {batch.seed}, wall {batch.wall}."


class BatchDisplay:
    """Shows how far the batch is: a bar on a terminal, and a line for each submission in any case."""

    def __init__(self, console: Console, submissions: Sequence[Submission]) -> None:
        self._console = console
        self._fractions = {submission.name: 0.0 for submission in submissions}
        self._done = 0
        self._printed, self._printed_at = "", -QUIET_S
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("grading", total=len(submissions))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, submission: Submission, fraction: float) -> None:
        """Show that this much of a submission is done."""
        # A judge that runs again starts from nothing; the bar does not go back.
        self._fractions[submission.name] = max(self._fractions[submission.name], fraction)
        self._bar.update(self._task, completed=sum(self._fractions.values()))

    def tell_jobs(self, progress: BatchProgress) -> None:
        """Show how many items are done, and what the queue holds."""
        share = progress.done / progress.items
        known = progress.trouble or _queue(progress)
        self._bar.update(self._task, completed=share * len(self._fractions), description=f"grading ({known})")
        is_known = progress.running or progress.waiting or progress.trouble
        if (
            is_known
            and not self._console.is_terminal
            and time.monotonic() - self._printed_at >= QUIET_S
            and known != self._printed
        ):
            self._printed, self._printed_at = known, time.monotonic()
            self._console.print(f"{progress.done} of {progress.items} chapters are graded; {known}.")

    def finish(self, graded: Graded) -> None:
        """Show that a submission is done."""
        self.tell(graded.submission, 1.0)
        self._done += 1
        result = graded.result
        how = "kept" if graded.kept else f"{result.seconds:.1f} s"
        line = f"[{self._done}/{len(self._fractions)}] {printable(result.submission)}: {points_text(result.score)} of {result.points} ({how})"
        self._console.print("; ".join([line, *_notes(result)]))


def _queue(progress: BatchProgress) -> str:
    why = f": {progress.why}" if progress.why else ""
    return f"{counted(progress.running, 'job')} running, {progress.waiting} waiting{why}"


def _notes(result: SubmissionResult) -> Iterator[str]:
    """Yield what is unusual: nothing to grade, with the whole reason if there is nothing else, or a judge that died."""
    empty = [chapter for chapter in result.chapters if chapter.judge == "not_run"]
    if len(empty) == len(result.chapters):
        yield shown(empty[0].exercises[0].explanation)
    elif empty:
        yield f"nothing to grade in {', '.join(chapter.chapter for chapter in empty)}"
    for chapter in result.chapters:
        if chapter.judge in {"died", "cut"}:
            yield f"the judge of {chapter.chapter} {chapter.judge}"


def _interrupted(results: dict[str, SubmissionResult], submissions: Sequence[Submission], ended: str) -> str:
    return (
        f"Interrupted: {len(results)} of {len(submissions)} submissions are graded, {ended}. "
        "Type the same command with --resume to grade the rest."
    )


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _exit_code(results: Sequence[SubmissionResult]) -> int:
    chapters = [chapter for result in results for chapter in result.chapters]
    if any(_has_untested(chapter) for chapter in chapters):
        return ExitCode.COURSE_BROKEN
    if any(chapter.judge in {"died", "cut"} for chapter in chapters):
        return ExitCode.INFRASTRUCTURE
    return ExitCode.ALL_PASSED if all(result.all_passed for result in results) else ExitCode.SOME_FAILED


def _has_untested(chapter: ResultOfChapter) -> bool:
    return any(exercise.outcome is Outcome.NOT_GRADABLE and not exercise.tests for exercise in chapter.exercises)
