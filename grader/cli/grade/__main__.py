"""The `grade` command, for those who make the course and grade it."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from grader.cli.command import EXIT_CODES, add_command, run_command
from grader.cli.entry import grade
from grader.cli.grade.check import CHECK_EXAMPLES, add_check
from grader.cli.grade.release import RELEASE_EXAMPLES, add_release
from grader.cli.grade.run import RUN_DESCRIPTION, RUN_EXAMPLES, add_run

EXAMPLES = """\
examples:
  grade check ch02                         is chapter 2 sound? stubs, solutions, mutants
  grade release --stubs                    make the stubs in assignments/ again
  grade release ../student-course          write the repository that students get
  grade run submitted/* --out out/week2    grade a class

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
    add_check(add_command(commands, "check", "check that the course agrees with itself", CHECK_EXAMPLES))
    add_release(add_command(commands, "release", "write the student repository", RELEASE_EXAMPLES))
    add_run(add_command(commands, "run", "grade submissions", RUN_EXAMPLES, description=RUN_DESCRIPTION))
    return parser


if __name__ == "__main__":
    sys.exit(grade())
