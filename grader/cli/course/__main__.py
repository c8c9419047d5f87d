"""The `course` command, for those who learn."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from grader.cli.command import EXIT_CODES, add_command, run_command
from grader.cli.course.check import course_check
from grader.cli.course.doctor import course_doctor
from grader.cli.course.hint import course_hint
from grader.cli.course.list import course_list
from grader.cli.course.reset import course_reset

EXAMPLES = """\
examples:
  course list                    what there is, and how far you are
  course check ch02              run the chapter's public tests on your files
  course check ch02/ring_shift   only this exercise
  course hint ch02/ring_shift    a hint; --more gives the next one
  course doctor                  what this machine has, and what it lacks

"""


LIST_EXAMPLE = "example:\n  course list\n\n"

CHECK_EXAMPLES = """\
examples:
  course check                             everything
  course check ch02                        one chapter
  course check ch02/ring_shift             one exercise
  course check ch02/ring_shift --seed 17   with the inputs of an earlier check
  course check ch02 --on dev               with ranks on all nodes of one job of that cluster

"""

HINT_EXAMPLES = """\
examples:
  course hint ch02/ring_shift          the hints you have seen, the first at least
  course hint ch02/ring_shift --more   and the next one

"""

RESET_EXAMPLES = """\
examples:
  course reset ch02/ring_shift         asks first; your version is kept as ring_shift.py.bak-<time>
  course reset ch02/ring_shift --yes   does not ask

"""

DOCTOR_EXAMPLES = """\
examples:
  course doctor                 this machine
  course doctor --profile dev   a cluster, by a short job on its nodes

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
    listing = add_command(commands, "list", "show chapters, exercises and your progress", LIST_EXAMPLE)
    listing.set_defaults(body=course_list)
    checking = add_command(commands, "check", "run the public tests on your files", CHECK_EXAMPLES)
    checking.add_argument("names", nargs="*", metavar="NAME", help="like ch02 or ch02/ring_shift (default: everything)")
    checking.add_argument("--seed", type=int, metavar="N", help="draw the inputs of the check that printed this seed")
    checking.add_argument(
        "--on",
        metavar="PROFILE",
        help="run the ranks in the tasks of one job of a cluster (a profile's name, or a .toml file), or of this machine (local)",
    )
    checking.set_defaults(body=course_check)
    hinting = add_command(commands, "hint", "show a hint", HINT_EXAMPLES)
    hinting.add_argument("exercise", metavar="EXERCISE", help="like ch02/ring_shift")
    hinting.add_argument("--more", action="store_true", help="show the next one too")
    hinting.set_defaults(body=course_hint)
    resetting = add_command(commands, "reset", "put an exercise's file back as it was", RESET_EXAMPLES)
    resetting.add_argument("exercise", metavar="EXERCISE", help="like ch02/ring_shift")
    resetting.add_argument("--yes", action="store_true", help="do not ask")
    resetting.set_defaults(body=course_reset)
    examining = add_command(commands, "doctor", "show what this machine has and lacks", DOCTOR_EXAMPLES)
    examining.add_argument(
        "--profile", metavar="NAME", help="examine a cluster instead: a profile's name, or a .toml file"
    )
    examining.set_defaults(body=course_doctor)
    return parser


if __name__ == "__main__":
    sys.exit(main())
