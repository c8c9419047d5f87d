"""`course reset`: put an exercise's file back as it was released, and keep the student's version as a backup."""

import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from course_env.errors import ExitCode, UsageError
from grader.cli.command import make_console
from grader.cli.course.hint import one_exercise
from grader.cli.whereabouts import course_here
from grader.course.catalog import Chapter, Course
from grader.course.content.stubs import chapter_stubs
from grader.course.release.repository import PRISTINE
from grader.harness.protocol.files import write_whole

RESET_EXAMPLES = """\
examples:
  course reset ch02/ring_shift         asks first; your version is kept as ring_shift.py.bak-<time>
  course reset ch02/ring_shift --yes   does not ask

"""


def add_reset(parser: ArgumentParser) -> None:
    """Declare the arguments of `course reset`."""
    parser.add_argument("exercise", metavar="EXERCISE", help="like ch02/ring_shift")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(body=course_reset)


def course_reset(options: Namespace) -> int:
    """Put the stub back after asking; return the command's exit code."""
    course = course_here()
    chapter, exercise = one_exercise(course, options.exercise)
    console = make_console()
    path, stub = chapter.folder / exercise.file, _pristine(course, chapter, exercise.file)
    shown = path.relative_to(course.root)
    if path.exists() and path.read_bytes() == stub:
        console.print(f"{shown} is as it was released: there is nothing to reset.")
        return ExitCode.ALL_PASSED
    console.print(_what_happens(str(shown), chapter, exercise.file))
    if not options.yes and not _agrees():
        console.print("Nothing was changed.")
        return ExitCode.ALL_PASSED
    if path.exists():
        backup = _back_up(path)
        console.print(f"Your version is kept as {backup.relative_to(course.root)}.")
    write_whole(path, stub)
    console.print(f"{shown} is as it was released.")
    return ExitCode.ALL_PASSED


def _pristine(course: Course, chapter: Chapter, file: str) -> bytes:
    """Return the stub: generated from the solution if it is there, else the copy that came with the release."""
    if (chapter.solution / file).is_file():
        return chapter_stubs(chapter)[file].encode()
    copy = course.root / PRISTINE / chapter.id / file
    if copy.is_file():
        return copy.read_bytes()
    raise UsageError(
        f"{copy.relative_to(course.root)} is missing, so {file} cannot be reset. It came with the course: "
        f"fetch that file again, or with git: git checkout -- {(chapter.folder / file).relative_to(course.root)}"
    )


def _what_happens(shown: str, chapter: Chapter, file: str) -> str:
    exercises = [exercise.id for exercise in chapter.exercises_in(file)]
    what = f"exercises {', '.join(exercises)}" if len(exercises) > 1 else f"exercise {exercises[0]}"
    return f"{shown} ({what}) will be as it was released. Your version is kept as a backup."


def _agrees() -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "Standard input is not a terminal, so there is nobody to ask. Add --yes to reset without a question."
        )
    try:
        return input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:  # Ctrl-D
        print()
        return False


def _back_up(path: Path) -> Path:
    """Copy a file to a new name in the same folder, and return the copy."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = [f"{path.name}.bak-{stamp}", *(f"{path.name}.bak-{stamp}-{count}" for count in range(2, 100))]
    backup = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    return Path(shutil.copy2(path, backup))
