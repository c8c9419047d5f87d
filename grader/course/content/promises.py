"""The table of promises: for each sentence of an exercise's contract, the tests that fail if it is broken.

`solutions/<chapter>/promises/<exercise>.toml` holds `[[promises]]`, each with the words of the contract that it `says`, its
`tests` as `file::function`, and the `mutants` that break it; and `[[remarks]]`, for sentences that demand nothing, `because`.

The contract is what the student reads: docstrings of the exercise's symbols and of their methods, of the module, and the README.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from course_env.errors import CatalogError
from grader.course.catalog import Chapter, Exercise
from grader.course.content.regions import parse
from grader.course.content.stubs import read_staff_file, read_stub

_SENTENCE_END = re.compile(r"(?<=[.?!;])\s+(?=\S)|\n\s*\n|\n\s*(?=\* )")
_LABEL = re.compile(r"^\s*[A-Z][a-z]+:\s+")
_SOURCE = re.compile(r"^\s*Source:.*?(?=\n\s*\n|\n\s*[A-Z][a-z]+:\s|\Z)", re.DOTALL | re.MULTILINE)


class Promise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words of a contract, and what fails if they are not kept."""

    says: str
    """Words that stand in the contract."""

    tests: tuple[str, ...]
    """The graded tests that fail if the promise is broken, as `test_file.py::test_function`."""

    mutants: tuple[str, ...] = ()
    """Names of the mutants that break it. One of `tests` is the first to fail on each."""


class Remark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words of a contract that demand nothing of the student's code."""

    says: str
    because: str


class PromiseTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an exercise's contract says."""

    promises: tuple[Promise, ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def says(self) -> tuple[str, ...]:
        """The words that promises and remarks quote."""
        return (*(promise.says for promise in self.promises), *(remark.says for remark in self.remarks))

    def promises_of(self, mutant: str) -> tuple[Promise, ...]:
        """Return the promises that a mutant breaks."""
        return tuple(promise for promise in self.promises if mutant in promise.mutants)


def promises_path(chapter: Chapter, exercise: Exercise) -> Path:
    """Return the file of an exercise's table."""
    return chapter.solution / "promises" / f"{exercise.id}.toml"


def read_promises(chapter: Chapter, exercise: Exercise) -> PromiseTable | None:
    """Return an exercise's table; None if there is none.

    Raises: CatalogError if it is malformed.
    """
    path = promises_path(chapter, exercise)
    where = f"solutions/{chapter.id}/promises/{path.name}"
    if not path.is_file():
        return None
    try:
        return msgspec.convert(tomllib.loads(read_staff_file(path, where)), PromiseTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogError(f"{where}: {error}.") from None


def contract_of(chapter: Chapter, exercise: Exercise) -> str:
    """Return all that the student reads about an exercise, each run of white space as one blank."""
    module = _module(chapter, exercise)
    readme = read_staff_file(chapter.folder / "README.md", f"assignments/{chapter.id}/README.md")
    parts = [ast.get_docstring(module) or "", *_docstrings(module, exercise), readme]
    return "\n".join(_plain(part) for part in parts)


def sentences_of(chapter: Chapter, exercise: Exercise) -> list[str]:
    """Return the sentences in the docstrings of an exercise's symbols, without their sources, white space as in `contract_of`."""
    module = _module(chapter, exercise)
    return [
        sentence
        for docstring in _docstrings(module, exercise)
        for part in _SENTENCE_END.split(_SOURCE.sub("", docstring))
        if (sentence := _plain(_LABEL.sub("", part)).removeprefix("* "))
    ]


def uncovered(sentences: list[str], table: PromiseTable) -> Iterator[str]:
    """Yield the sentences that no promise and no remark says, be it in part."""
    said = [_plain(words) for words in table.says]
    for sentence in sentences:
        if not any(words in sentence or sentence in words or _overlap(words, sentence) for words in said):
            yield sentence


def says(contract: str, words: str) -> bool:
    """Whether a contract has these words, white space apart."""
    return _plain(words) in contract


def _overlap(words: str, sentence: str) -> bool:
    """Whether words that begin or end in another sentence have a part of this one that is longer than a stray word."""
    least = min(20, len(sentence))
    lengths = range(least, min(len(words), len(sentence)))
    return any(words.endswith(sentence[:n]) or words.startswith(sentence[-n:]) for n in lengths)


def _module(chapter: Chapter, exercise: Exercise) -> ast.Module:
    return parse(read_stub(chapter, exercise.file), f"solutions/{chapter.id}/{exercise.file}")


def _docstrings(module: ast.Module, exercise: Exercise) -> Iterator[str]:
    """Yield the docstrings of an exercise's symbols and of their public methods, in the order of the file."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in exercise.symbols:
            members = [] if isinstance(node, ast.FunctionDef) else node.body
            for one in (node, *(member for member in members if isinstance(member, ast.FunctionDef))):
                if docstring := ast.get_docstring(one):
                    yield docstring


def _plain(text: str) -> str:
    return " ".join(text.split())
