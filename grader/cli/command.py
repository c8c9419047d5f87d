"""What both commands share: how an error becomes a sentence and an exit code, and how output looks."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Sequence
from textwrap import fill

from rich.console import Console
from rich.text import Text

from course_env.errors import CourseError, ExitCode
from grader.course.problem import Problem
from grader.harness.outcome import Outcome
from grader.harness.wording import shown

EXIT_CODES = (
    f"Exit codes: {ExitCode.ALL_PASSED} all passed, {ExitCode.SOME_FAILED} graded tests failed, {ExitCode.USAGE} usage, "
    f"{ExitCode.COURSE_BROKEN} the course is broken, {ExitCode.INFRASTRUCTURE} infrastructure."
)

WIDTH_WITHOUT_TERMINAL = 10_000  # lines in a file or a pipe are not broken

STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.NOT_ATTEMPTED: "dim",
    Outcome.TIMED_OUT: "yellow",
    Outcome.CRASHED: "magenta",
    Outcome.NOT_GRADABLE: "blue",
    Outcome.NOT_RUN: "dim",
}

SYMBOLS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.NOT_ATTEMPTED: "·",
    Outcome.TIMED_OUT: "✗",
    Outcome.CRASHED: "✗",
    Outcome.NOT_GRADABLE: "?",
    Outcome.NOT_RUN: "·",
}


def add_command(
    commands: "_SubParsersAction[ArgumentParser]", name: str, summary: str, examples: str, description: str = ""
) -> ArgumentParser:
    """Return the parser of a new command; its --help ends with the examples and the exit codes."""
    return commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples + EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )


def run_command(body: Callable[[], int]) -> int:
    """Run a command and return its exit code; print an error that was raised on purpose without a traceback."""
    try:
        return body()
    except CourseError as error:
        print(shown(str(error)), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A full disk, a folder without write permission: the machine's fault, and the message names the file.
        print(shown(f"The machine refused: {error}"), file=sys.stderr)
        return ExitCode.INFRASTRUCTURE
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return ExitCode.INTERRUPTED


def make_console() -> Console:
    """Return a console that prints text as it is: no markup, no guessed highlights."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(markup=False, highlight=False, emoji=False, width=width)


def styled(text: str, outcome: Outcome) -> Text:
    """Return text in the colour of an outcome."""
    return Text(text, style=STYLES[outcome])


def outcome_symbol(outcome: Outcome) -> Text:
    """Return the sign that opens an exercise's line."""
    return styled(SYMBOLS[outcome], outcome)


def indented(text: str, columns: int, width: int) -> str:
    """Return a text with its lines indented by `columns` and broken at `width`."""
    indent = " " * columns
    lines = (
        fill(line, width - 1, initial_indent=indent, subsequent_indent=indent, replace_whitespace=False)
        for line in text.splitlines()
    )
    return "\n".join(lines)


def counted(amount: int, noun: str) -> str:
    """Return an amount with its noun: "1 job", "2 jobs"."""
    return f"{amount} {noun}" + "s" * (amount != 1)


def points_text(value: float) -> str:
    """Return a score without a trailing `.0`."""
    return f"{value:g}"


def print_problems(console: Console, problems: Sequence[Problem], good: str) -> ExitCode:
    """Print the course's problems and how many there are, or `good` if there are none; return the command's exit code."""
    for problem in problems:
        console.print(str(problem), style="red")
    console.print(f"{counted(len(problems), 'problem')}." if problems else good, style="bold")
    return ExitCode.COURSE_BROKEN if problems else ExitCode.ALL_PASSED
