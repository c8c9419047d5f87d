"""The `grade` command, for those who make the course and grade it."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from grader.batch.workers import default_workers
from grader.cli.command import ALL_PASSED, COURSE_BROKEN, EXIT_CODES, add_command, make_console, run_command
from grader.cli.grade.run import grade_run
from grader.cli.wall_choice import wall_for_own_code
from grader.course.catalog import find_root, load_course
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.judging.running_judges import stopped_by_signals
from grader.course.judging.warm_judges import WarmJudges
from grader.course.problem import Problem
from grader.course.release.chapter_list import chapter_list_problems
from grader.course.release.repository import release, stale_stubs, write_stubs
from grader.course.soundness.checking import check
from grader.harness.protocol.wall import Wall
from slurm.profile import known_profiles

EXAMPLES = """\
examples:
  grade check ch02                         is chapter 2 sound? stubs, solutions, mutants
  grade release --stubs                    make the stubs in assignments/ again
  grade release ../student-course          write the repository that students get
  grade run submitted/* --out out/week2    grade a class

"""

RUN_DESCRIPTION = """\
Grade submissions, hidden tests included; write a result file for each, and print a table.

A submission is a folder named after its student: alice/ch02_distributed_programming/<files>,
or a zip or tar file that holds the same: alice.zip, alice.tar, alice.tar.gz (also .bz2, .xz).
These are understood too: a copy of the whole course (alice/assignments/ch02_.../<files>),
the chapter's folder itself, and alice/<files> if they fit one chapter only.
Only the files that a chapter declares are taken, and archives are never unpacked to disk.
What cannot be used costs that student's points, with the reason in the result, and nobody else's.
"""

RUN_EXAMPLES = """\
examples:
  grade run submitted/alice                              one student, everything
  grade run submitted/alice.zip                          the same from an archive
  grade run submitted/* --chapters ch02 --out out/week2  a class, one chapter
  grade run submitted/* --chapters ch02 --out out/week2 --resume
                                                         go on after an interruption

"""

CHECK_EXAMPLES = """\
examples:
  grade check          every chapter
  grade check ch02     one chapter: stubs earn nothing, solutions everything, mutants die

"""

RELEASE_EXAMPLES = """\
examples:
  grade release ../student-course   the complete repository that students get, no staff text in it
  grade release --stubs             make the stubs in assignments/ again from the solutions
  grade release --check             say whether that is needed, and whether the README lists the chapters

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `grade`; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: int(options.body(options)))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="grade",
        description="Check, release and grade the course.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_check(add_command(commands, "check", "check that the course agrees with itself", CHECK_EXAMPLES))
    _add_release(add_command(commands, "release", "write the student repository", RELEASE_EXAMPLES))
    _add_run(add_command(commands, "run", "grade submissions", RUN_EXAMPLES, description=RUN_DESCRIPTION))
    return parser


def _add_check(parser: ArgumentParser) -> None:
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="like ch02 (default: all)")
    parser.set_defaults(body=grade_check)


def _add_release(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="a new folder for the student repository")
    what.add_argument(
        "--check",
        action="store_true",
        help="only say which stubs in assignments/, or which lines of the README, are out of date",
    )
    what.add_argument("--stubs", action="store_true", help="write the stubs in assignments/ that are out of date")
    parser.set_defaults(body=grade_release)


def _add_run(parser: ArgumentParser) -> None:
    parser.add_argument(
        "submissions", nargs="+", type=Path, metavar="SUBMISSION", help="a folder, zip or tar with a student's files"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results go here (default: out/grade in the course)")
    parser.add_argument("--chapters", metavar="NAMES", help="only these, like ch02 or ch02,ch04 (default: all)")
    parser.add_argument("--workers", type=_at_least_one, metavar="N", help="judges at a time (default: one per CPU)")
    parser.add_argument(
        "--on", metavar="PROFILE", help=f"as jobs: {', '.join(known_profiles())}, local or debug, or a .toml file"
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="with --on: run the ranks of a test in all tasks of a job, on all its nodes; results say that nobody counted bytes",
    )
    parser.add_argument(
        "--max-jobs", type=_at_least_one, default=64, metavar="N", help="with --on, at a time (default: 64)"
    )
    parser.add_argument("--resume", action="store_true", help="keep results whose files and tests have not changed")
    parser.add_argument("--seed", type=int, metavar="N", help="draw the inputs of the batch that printed this seed")
    parser.add_argument(
        "--wall",
        type=Wall,
        choices=[*Wall],
        help="only this one (default: nested, or flat where there is no other; on a cluster: nested)",
    )
    parser.add_argument(
        "--trust-submissions",
        action="store_true",
        help="grade where there is no wall too; the best there is, is used (on a cluster say which: --wall none)",
    )
    parser.set_defaults(body=grade_run)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number, at least 1, but is '{text}'")
    return int(text)


def grade_check(options: Namespace) -> int:
    """Say whether the chapters are sound; return the command's exit code."""
    course = load_course(find_root(Path.cwd()))
    console = make_console()
    chapters = list(dict.fromkeys(chapter for chapter, _ in course.select(options.chapters)))
    wall = wall_for_own_code(console)
    with WarmJudges(course.root, wall) as judges, stopped_by_signals(judges), console.status("checking") as status:
        judge = SubprocessJudge(course=course, wall=wall, judges=judges)
        found = check(chapters, judge, progress=status.update, workers=default_workers())
    for proof in found.proofs:
        console.print(str(proof))
    return _conclude(console, [*chapter_list_problems(course), *found.problems], "The course is sound.")


def _conclude(console: Console, problems: Sequence[Problem], good: str) -> int:
    """Print the problems and how many there are, or `good`; return the command's exit code."""
    for problem in problems:
        console.print(str(problem), style="red")
    count = len(problems)
    console.print(good if not problems else f"{count} problem{'s' * (count != 1)}.", style="bold")
    return COURSE_BROKEN if problems else ALL_PASSED


def grade_release(options: Namespace) -> int:
    """Write stubs or the student repository; return the command's exit code."""
    course = load_course(find_root(Path.cwd()))
    console = make_console()
    if options.check:
        stale = [problem for chapter in course.chapters for problem in stale_stubs(chapter)]
        return _conclude(console, [*chapter_list_problems(course), *stale], "Every stub is as its solution gives it.")
    if options.stubs:
        changed = write_stubs(course)
        for path in changed:
            console.print(f"wrote {path.relative_to(course.root)}")
        if not changed:
            console.print("Every stub was up to date.")
        return ALL_PASSED
    files = release(course, options.folder)
    console.print(f"Wrote {len(files)} files to {options.folder}. No staff text was found in them.")
    return ALL_PASSED


if __name__ == "__main__":
    sys.exit(main())
