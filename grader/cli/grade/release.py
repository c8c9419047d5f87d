"""`grade release`: the student repository, and the stubs in assignments/."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from course_env.errors import ExitCode
from grader.cli.command import make_console, print_problems
from grader.cli.whereabouts import course_here
from grader.course.release.chapter_list import chapter_list_problems
from grader.course.release.repository import release, stale_stubs, undeclared_problems, write_stubs

RELEASE_EXAMPLES = """\
examples:
  grade release ../student-course   the complete repository that students get, no staff text in it
  grade release --stubs             make the stubs in assignments/ again from the solutions
  grade release --check             say whether that is needed, and whether the README lists the chapters

"""


def add_release(parser: ArgumentParser) -> None:
    """Declare the arguments of `grade release`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="a new folder for the student repository")
    what.add_argument(
        "--check",
        action="store_true",
        help="only say which stubs in assignments/, or which lines of the README, are out of date",
    )
    what.add_argument("--stubs", action="store_true", help="write the stubs in assignments/ that are out of date")
    parser.set_defaults(body=grade_release)


def grade_release(options: Namespace) -> int:
    """Write stubs or the student repository; return the command's exit code."""
    course = course_here()
    console = make_console()
    if options.check:
        stale = [problem for chapter in course.chapters for problem in stale_stubs(chapter)]
        return print_problems(
            console,
            [*chapter_list_problems(course), *undeclared_problems(course), *stale],
            "Every stub is as its solution gives it, and every file that would be released is declared.",
        )
    if options.stubs:
        changed = write_stubs(course)
        for path in changed:
            console.print(f"wrote {path.relative_to(course.root)}")
        if not changed:
            console.print("Every stub was up to date.")
        return ExitCode.ALL_PASSED
    files = release(course, options.folder)
    console.print(f"Wrote {len(files)} files to {options.folder}. No staff text was found in them.")
    return ExitCode.ALL_PASSED
