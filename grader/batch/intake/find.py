"""Which of the paths on the command line are submissions, and whose."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_env.errors import UsageError
from grader.batch.intake.archive import SUFFIXES, archive_stem
from grader.batch.intake.names import file_names
from grader.batch.intake.take import is_clutter
from grader.batch.intake.tree import printable
from grader.course.catalog import Course

WHAT_IS_ONE = f"A submission is a folder that holds chNN_name/<files>, or an archive of one ({' '.join(SUFFIXES)})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What one student handed in; nothing of it has been read yet."""

    name: str
    """Unique in a batch and safe as a file name, because its files are named after it; see `names`."""

    student: str
    """The name as the folder or the archive has it, which may be anything."""

    path: Path
    """A folder or an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandIns:
    """What the paths on the command line are."""

    submissions: tuple[Submission, ...]
    """Sorted by name."""

    clutter: tuple[str, ...]
    """The names of what nobody handed in."""

    problems: tuple[str, ...]
    """Why something is not graded, a sentence for each."""


def find_submissions(paths: Sequence[Path], course: Course) -> HandIns:
    """Return the submissions in `paths`.

    A submission has the name of its folder, or of its archive without the suffix. If that is the name of a chapter, as in
    `submitted/alice/ch02_x` or `submitted/alice/ch02_x.zip`, it has the name of the folder around it: `alice`.
    Raises: UsageError if there is no submission.
    """
    # A link that is given here is followed, but keeps its own name, which is the student's.
    absolute = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))  # noqa: PTH100 -- Path.resolve would give the name of what it points to
    clutter = tuple(path.name for path in absolute if is_clutter(path.name))
    handed_in = [path for path in absolute if not is_clutter(path.name)]
    problems = [problem for path in handed_in if (problem := _problem(path))]
    by_student: dict[str, list[Path]] = {}
    for path in handed_in:
        if not _problem(path):
            by_student.setdefault(_student(path, course), []).append(path)
    problems += [_doubled(student, several) for student, several in by_student.items() if len(several) > 1]
    single = {student: several[0] for student, several in by_student.items() if len(several) == 1}
    if not single:
        why = " ".join(problems) or f"There is nothing but {', '.join(map(printable, clutter))}."
        raise UsageError(f"{why} {WHAT_IS_ONE} Nothing was graded.")
    return HandIns(submissions=_named(single), clutter=clutter, problems=tuple(problems))


def _problem(path: Path) -> str:
    if path.is_dir() or (path.is_file() and archive_stem(path.name)):
        return ""
    return f"{path} {'is no folder and no archive' if os.path.lexists(path) else 'does not exist'}."


def _student(path: Path, course: Course) -> str:
    own = path.name if path.is_dir() else archive_stem(path.name)
    return path.parent.name if own in {chapter.id for chapter in course.chapters} else own


def _doubled(student: str, paths: Iterable[Path]) -> str:
    *others, last = map(str, paths)
    are = "are both" if len(others) == 1 else "are all"
    return (
        f"{', '.join(others)} and {last} {are} the submission '{student}'. Results are kept by name: rename one, "
        "or give the folder that holds both."
    )


def _named(paths: Mapping[str, Path]) -> tuple[Submission, ...]:
    names = file_names(paths)
    submissions = [Submission(name=names[student], student=student, path=path) for student, path in paths.items()]
    return tuple(sorted(submissions, key=lambda submission: submission.name))
