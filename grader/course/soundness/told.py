"""What a student is told of each mutant: the golden texts `solutions/<chapter>/told/<exercise>.md`, reviewed by people.

A mutant is a mistake that people make, so its text must name that mistake. Where a hidden test is the first to fail, the student
learns the kind of mistake alone. Texts are for reading: numbers, ports, the rank that was first and the line where it was cut differ
from run to run. What is compared is the kind of mistake, and whether a public test tells it. How a launch ends that cannot end well
is one kind: which rank notices first is a race.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grader.course.catalog import Chapter, Exercise
from grader.course.content.mutants import Mutant
from grader.course.content.stubs import read_staff_file
from grader.course.judging.report import Record
from grader.course.problem import Problem
from grader.harness.mistake import Mistake

VENV = ".venv"
"""Stands in golden texts for the virtual environment of whoever wrote them."""

_KIND = re.compile(r"^Kind: (.+)$", re.MULTILINE)
_ENDS_OF_LAUNCHES = frozenset(
    {
        *(Mistake.EXCEPTION, Mistake.CRASHED, Mistake.KILLED, Mistake.EXIT),
        *(Mistake.DEADLINE, Mistake.DEADLOCK, Mistake.MISMATCH, Mistake.RECORD_INCOMPLETE),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What a student is told of one mutant."""

    mutant: Mutant
    test: str
    """`test_file.py::test_function`, with parameters."""

    claim: str
    kind: str
    """What is compared."""

    text: str

    def __str__(self) -> str:
        """Return its section of the golden file."""
        lines = "\n".join(f"    {line}".rstrip() for line in self.text.splitlines())
        return f"## {self.mutant.name}\n\n{self.mutant.fault}\n\n`{self.test}`: {self.claim}\n\nKind: {self.kind}\n\n{lines}\n"


def telling_of(mutant: Mutant, record: Record) -> Telling:
    """Return what a student is told when `record` is the first test that fails on a mutant."""
    text = f"Kind of mistake: {record.mistake}." if record.hidden else record.explanation.replace(sys.prefix, VENV)
    kind = "a launch that ends badly" if record.mistake in _ENDS_OF_LAUNCHES else str(record.mistake)
    return Telling(
        mutant=mutant,
        test=record.test.rpartition("/")[2],
        claim=record.claim,
        kind=f"{kind}, told by a {'hidden' if record.hidden else 'public'} test",
        text=text,
    )


def golden_text(exercise: Exercise, tellings: Sequence[Telling]) -> str:
    """Return the whole golden file of an exercise."""
    head = f"# What a student is told of each mutant of `{exercise.id}`\n\nWritten by `grade check --write-told`.\n"
    return "\n".join([head, *map(str, sorted(tellings, key=lambda telling: telling.mutant.name))])


def write_tellings(chapter: Chapter, tellings: Mapping[Exercise, Sequence[Telling]]) -> None:
    """Write the golden files of a chapter."""
    folder = chapter.solution / "told"
    folder.mkdir(exist_ok=True)
    for exercise, told in tellings.items():
        (folder / f"{exercise.id}.md").write_text(golden_text(exercise, told), encoding="utf-8")


def changed_tellings(chapter: Chapter, tellings: Mapping[Exercise, Sequence[Telling]]) -> Iterator[Problem]:
    """Yield each mutant of which a student is told something else than the golden text says, if the chapter has these texts."""
    if not (chapter.solution / "told").is_dir():
        return
    for exercise, told in tellings.items():
        where = f"solutions/{chapter.id}/told/{exercise.id}.md"
        path = chapter.solution / "told" / f"{exercise.id}.md"
        golden = _sections(read_staff_file(path, where)) if path.is_file() else {}
        for telling in told:
            before = _KIND.search(golden.pop(telling.mutant.name, ""))
            if before is None or before[1] != telling.kind:
                what = f"a student is told something else of {telling.mutant.name} than this file says. Now:\n{telling}"
                yield Problem(where=where, what=what, todo=_todo(chapter))
        for name in golden:
            yield Problem(where=where, what=f"there is no mutant '{name}' any more.", todo=_todo(chapter))


def _todo(chapter: Chapter) -> str:
    return (
        f"If it names the mistake as well or better, run `grade check {chapter.id} --write-told` and commit the file."
    )


def _sections(text: str) -> dict[str, str]:
    """Return the sections of a golden file by the names in their headings."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {name: f"## {name}{body}" for name, body in zip(parts[1::2], parts[2::2], strict=True)}
