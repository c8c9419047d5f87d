"""The leak scan: staff text that occurs in what students get.

Every text file is searched for lines of solutions, alternatives, mutants, hidden tests and hidden programs, and for names of
hidden tests. It does not matter what stands around a line (`# `, a diff's `-`, a notebook's quotes), and a run of blanks counts as one. Which lines count:

* only lines that tell something: 40 characters, or 24 with 4 different names. `return x` solves nothing, and anybody writes
  `for step in range(1, world_size):`. An import of `course_env` tells nothing.
* no line that students get anyway, because some solution file also has it outside its regions.
* no line that solves two files: `world_size = dist.get_world_size(group)` is an idiom of the field, not an answer.
* of hidden tests and programs, every line of 24 characters that no public test, program, reference or package has.

One such line is a leak. Only in our own packages, which share the field's idioms and into which no student text flows, it takes
three of them within ten lines.

A line that a README or public test shows on purpose is reported as well. Then give it to the student: move it out of its
region.
"""

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from grader.course.catalog import Chapter, Course
from grader.course.content.graded_tests import hidden_tests, public_tests
from grader.course.content.mutants import read_mutants
from grader.course.content.regions import find_regions
from grader.course.content.stubs import read_staff_file
from grader.course.problem import Problem

LONG_CHARACTERS = 40
MIN_CHARACTERS = 24
MIN_NAMES = 4
PASSAGE_HITS = 3
PASSAGE_LINES = 10
PACKAGES = ("course_env", "grader", "slurm")

HIDDEN = "*_hidden.py"
PUBLIC_CODE = ("test_*.py", "programs*.py", "references*.py")
_STAFF_PATHS = ("*hidden*", "*.patch")
_MARKER = re.compile(r"### (BEGIN|END) SOLUTION")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One text file of the released folder, its lines normalised."""

    path: str
    lines: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        return self.path.split("/")[0] in PACKAGES


def leaks(course: Course, folder: Path) -> list[Problem]:
    """Return every place in `folder` that holds staff text; none in a sound release.

    Raises: CatalogError if the course's solutions or mutants cannot be read.
    """
    secrets = _secrets(course)
    return [
        problem for path in sorted(folder.rglob("*")) if path.is_file() for problem in _leaks_in(path, folder, secrets)
    ]


def _leaks_in(path: Path, folder: Path, secrets: Mapping[str, str]) -> Iterator[Problem]:
    name = path.relative_to(folder).as_posix()
    if name.startswith("solutions/") or any(fnmatch(path.name, pattern) for pattern in _STAFF_PATHS):
        yield Problem(where=name, what="is a file of the staff side.", todo="Take it out of the release.")
    page = _read_page(path, name)
    hits = _hits(page, secrets)
    for number in _passages(hits) if page.is_ours else hits:
        yield Problem(
            where=f"{name}:{number}",
            what=f"shows {hits[number]}: {page.lines[number - 1]!r}.",
            todo="Take it out here, or move it out of its region.",
        )


def _read_page(path: Path, name: str) -> _Page:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return _Page(path=name, lines=())  # a picture holds no line of a solution
    text = text.replace('\\"', '"') if path.suffix == ".ipynb" else text
    return _Page(path=name, lines=tuple(normalise(line) for line in text.splitlines()))


def _hits(page: _Page, secrets: Mapping[str, str]) -> dict[int, str]:
    """Return what each line shows of the staff side, in words, by line number."""
    # One search of the whole page per secret first: nearly all pages hold none.
    text = "\n".join(page.lines)
    present = [(_whole_words(secret), origin) for secret, origin in secrets.items() if secret in text]
    if page.path.startswith(("assignments/", ".course/")):
        present.append((_MARKER, "a marker of the staff side"))
    hits = {}
    for number, line in enumerate(page.lines, 1):
        shown = next((origin for pattern, origin in present if pattern.search(line)), None)
        if shown is not None:
            hits[number] = shown
    return hits


def _whole_words(secret: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")


def _passages(hits: Iterable[int]) -> list[int]:
    """Return the hits that stand together, `PASSAGE_HITS` within `PASSAGE_LINES` lines."""
    numbers = sorted(hits)
    together = set[int]()
    for first in range(len(numbers) - PASSAGE_HITS + 1):
        group = numbers[first : first + PASSAGE_HITS]
        if group[-1] - group[0] < PASSAGE_LINES:
            together.update(group)
    return sorted(together)


def _secrets(course: Course) -> dict[str, str]:
    """Return each text that must not be shown, with what it is."""
    public, solving = set[str](), dict[str, dict[str, str]]()
    for chapter in course.chapters:
        for file in chapter.files:
            inside, outside = _split_lines(chapter, file)
            public |= outside
            solving[f"{chapter.id}/{file}"] = inside
    uses = Counter(line for inside in solving.values() for line in inside)
    secrets = {line: origin for inside in solving.values() for line, origin in inside.items() if uses[line] == 1}
    for chapter in course.chapters:
        secrets |= _alternative_lines(chapter) | _mutant_lines(chapter) | _hidden_names(chapter)
    secrets = {line: origin for line, origin in secrets.items() if line not in public}
    return {**secrets, **_hidden_lines(course, public)}


def _hidden_lines(course: Course, public: set[str]) -> dict[str, str]:
    """Return the lines of hidden tests and programs that no public file of code shares with them."""
    shared = "\n".join([*public, *(line for path in _public_code(course) for line in _lines(path))])
    return {
        line: f"a line of {path.relative_to(course.root)}"
        for chapter in course.chapters
        for path in sorted(chapter.solution.rglob(HIDDEN))
        for line in _lines(path)
        if len(line) >= MIN_CHARACTERS and line not in shared
    }


def _public_code(course: Course) -> Iterator[Path]:
    for chapter in course.chapters:
        names = (path for pattern in PUBLIC_CODE for path in chapter.folder.glob(pattern))
        yield from (path for path in names if is_public_name(path.name))
    for package in PACKAGES:
        yield from (course.root / package).rglob("*.py")


def is_public_name(name: str) -> bool:
    """Whether a file may have this name among those that students get: an ordinary one, which does not say "hidden"."""
    return re.fullmatch(r"[\w-]+\.\w+", name, re.ASCII) is not None and "hidden" not in name.lower()


def _lines(path: Path) -> Iterator[str]:
    return map(normalise, path.read_text(encoding="utf-8", errors="replace").splitlines())


def _split_lines(chapter: Chapter, file: str) -> tuple[dict[str, str], set[str]]:
    """Return the telling lines inside regions, with their origin, and all lines outside."""
    where = f"solutions/{chapter.id}/{file}"
    source = read_staff_file(chapter.solution / file, where)
    regions = find_regions(source, where)
    lines = list(enumerate((normalise(line) for line in source.splitlines()), 1))
    private = {number for region in regions for number in range(region.begin, region.end + 1)}
    inside = {line: f"line {number} of {where}" for number, line in lines if number in private and is_telling(line)}
    return inside, {line for number, line in lines if number not in private}


def _alternative_lines(chapter: Chapter) -> dict[str, str]:
    return {
        line: f"the alternative {path.parent.name}"
        for path in sorted((chapter.solution / "alternatives").glob("*/*.py"))
        for line in map(normalise, path.read_text(encoding="utf-8").splitlines())
        if is_telling(line)
    }


def _mutant_lines(chapter: Chapter) -> dict[str, str]:
    return {
        line: f"the mutant {mutant.name}"
        for mutant in read_mutants(chapter)
        for line in map(normalise, (mutant.fault, *mutant.added_lines))
        if is_telling(line)
    }


def _hidden_names(chapter: Chapter) -> dict[str, str]:
    public = {test.name for test in public_tests(chapter)}
    return {test.name: f"the hidden test {test.name}" for test in hidden_tests(chapter) if test.name not in public}


def normalise(line: str) -> str:
    """Return `line` without indentation, and with every run of blanks as one."""
    return " ".join(line.split())


def is_telling(line: str) -> bool:
    """Whether a normalised line says enough of a solution to be recognised as a part of it."""
    names = {word for word in re.findall(r"[^\W\d]\w*", line) if not keyword.iskeyword(word)}
    if line.startswith("from course_env"):  # which all students have
        return False
    return len(line) >= LONG_CHARACTERS or (len(line) >= MIN_CHARACTERS and len(names) >= MIN_NAMES)
