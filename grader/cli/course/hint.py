"""`course hint`: one hint at a time, each saying more than the one before."""

from argparse import ArgumentParser, Namespace

from course_env.errors import ExitCode, UsageError
from grader.cli.command import make_console
from grader.cli.whereabouts import course_here
from grader.course.catalog import Course, Selected
from grader.course.progress import read_progress, write_progress

HINT_EXAMPLES = """\
examples:
  course hint ch02/ring_shift          the hints you have seen, the first at least
  course hint ch02/ring_shift --more   and the next one

"""


def add_hint(parser: ArgumentParser) -> None:
    """Declare the arguments of `course hint`."""
    parser.add_argument("exercise", metavar="EXERCISE", help="like ch02/ring_shift")
    parser.add_argument("--more", action="store_true", help="show the next one too")
    parser.set_defaults(body=course_hint)


def course_hint(options: Namespace) -> int:
    """Print the hints shown so far (at least the first) and, with --more, the next one; return the command's exit code."""
    course = course_here()
    chapter, exercise = one_exercise(course, options.exercise)
    progress, console = read_progress(course), make_console()
    before = progress.hints(chapter, exercise)
    shown = min(max(before + options.more, 1), len(exercise.hints))
    problem = write_progress(course, progress.with_hints(chapter, exercise, shown)) if shown != before else ""
    for number, hint in enumerate(exercise.hints[:shown], 1):
        console.print(f"Hint {number} of {len(exercise.hints)}: {hint}\n")
    if shown < len(exercise.hints):
        console.print(f"One more: course hint {chapter.short}/{exercise.id} --more", style="dim")
    else:
        console.print(f"That was the last one. The source may help: {exercise.source}", style="dim")
    if problem:
        console.print(problem, style="dim")
    return ExitCode.ALL_PASSED


def one_exercise(course: Course, name: str) -> Selected:
    """Return the exercise with a name like `ch02/ring_shift`.

    Raises: UsageError, with the known names, if it is the name of a chapter or of nothing.
    """
    selected = course.select([name])
    if "/" not in name.strip("/"):
        known = ", ".join(f"{chapter.short}/{exercise.id}" for chapter, exercise in selected)
        raise UsageError(f"'{name}' is a whole chapter. Name one of its exercises: {known}.")
    return selected[0]
