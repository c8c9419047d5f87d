"""`course hint`: one hint at a time, from a gentle push to nearly there."""

from argparse import Namespace
from pathlib import Path

from course_env.errors import ExitCode, UsageError
from grader.cli.command import make_console
from grader.course.catalog import Course, Selected, find_root, load_course
from grader.course.progress import read_progress, write_progress


def course_hint(options: Namespace) -> int:
    """Print the hints shown so far, the first at least, and with --more one more; return the command's exit code."""
    course = load_course(find_root(Path.cwd()))
    chapter, exercise = one_exercise(course, options.exercise)
    progress, console = read_progress(course), make_console()
    before = progress.hints(chapter, exercise)
    shown = min(max(before + options.more, 1), len(exercise.hints))
    if shown != before:
        write_progress(course, progress.with_hints(chapter, exercise, shown))
    for number, hint in enumerate(exercise.hints[:shown], 1):
        console.print(f"Hint {number} of {len(exercise.hints)}: {hint}\n")
    if shown < len(exercise.hints):
        console.print(f"One more: course hint {chapter.short}/{exercise.id} --more", style="dim")
    else:
        console.print(f"That was the last one. The source may help: {exercise.source}", style="dim")
    return ExitCode.ALL_PASSED


def one_exercise(course: Course, name: str) -> Selected:
    """Return the exercise with a name like `ch02/ring_shift`.

    Raises: UsageError, with what is there, if the name is a chapter's or nothing's.
    """
    selected = course.select([name])
    if "/" not in name.strip("/"):
        known = ", ".join(f"{chapter.short}/{exercise.id}" for chapter, exercise in selected)
        raise UsageError(f"'{name}' is a whole chapter. Name one of its exercises: {known}.")
    return selected[0]
