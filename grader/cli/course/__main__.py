"""The `course` command, for those who learn."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from grader.cli.command import EXIT_CODES, add_command, run_command
from grader.cli.course.check import CHECK_EXAMPLES, add_check
from grader.cli.course.doctor import DOCTOR_EXAMPLES, add_doctor
from grader.cli.course.hint import HINT_EXAMPLES, add_hint
from grader.cli.course.list import LIST_EXAMPLE, add_list
from grader.cli.course.reset import RESET_EXAMPLES, add_reset
from grader.cli.course.show import SHOW_EXAMPLES, add_show
from grader.cli.entry import course

EXAMPLES = """\
examples:
  course list                    what there is, and how far you are
  course check ch02              run the chapter's public tests on your files
  course check ch02/ring_shift   only this exercise
  course hint ch02/ring_shift    a hint; --more gives the next one
  course doctor                  what this machine has, and what it lacks

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `course`; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command(lambda: int(options.body(options)))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="course",
        description="Work through the course.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_list(add_command(commands, "list", "show chapters, exercises and your progress", LIST_EXAMPLE))
    add_check(add_command(commands, "check", "run the public tests on your files", CHECK_EXAMPLES))
    add_hint(add_command(commands, "hint", "show a hint", HINT_EXAMPLES))
    add_show(add_command(commands, "show", "draw what your code did on every rank", SHOW_EXAMPLES))
    add_reset(add_command(commands, "reset", "put an exercise's file back as it was", RESET_EXAMPLES))
    add_doctor(add_command(commands, "doctor", "show what this machine has and lacks", DOCTOR_EXAMPLES))
    return parser


if __name__ == "__main__":
    sys.exit(course())
