"""What else a file may be that looks like one of a chapter's files, and what its student should do about it."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from grader.batch.intake.archive import archive_stem
from grader.batch.intake.tree import MAX_SHOWN_NAME, doubles, printable

MIN_LIKENESS = 0.7
"""As difflib counts it; above, a name is taken for a misspelling."""

MAX_NAMES = 300  # that are compared; an honest folder has fewer
RENAME = "rename it"


class _Kind(NamedTuple):
    """Files that are no Python source, and what to do about them."""

    pattern: re.Pattern[str]
    """Of the whole name; its group `own` is what remains of the name of the file that it stands for."""

    advice: str


def _kind(pattern: str, advice: str) -> _Kind:
    return _Kind(re.compile(pattern, re.IGNORECASE | re.DOTALL), advice)


KINDS = (
    _kind(
        r"\.(?P<own>.+)\.icloud|(?P<own2>.+)\.(gdoc|gsheet|gslides|url|webloc|lnk|desktop|cloud|cloudf)",
        "is a placeholder without content: open it where the file really is, download it, and hand in {file}",
    ),
    _kind(
        r"(?P<own>.+)\.(crdownload|part|partial|download|opdownload|filepart|tmp)",
        "is an unfinished download: download it again, and hand in {file}",
    ),
    _kind(
        r"\.~lock\.(?P<own>.+)#|~\$(?P<own2>.+)|#(?P<own3>.+)#|\.#(?P<own4>.+)|\.(?P<own5>.+)\.sw[a-p]",
        "was written by an editor while your file was open, and is not your file: save it there, and hand in {file}",
    ),
    _kind(
        r"(?P<own>.+)(~|\.(bak|orig|rej|save|old|backup))",
        "is a copy that a program made before it changed your file: hand in {file} itself",
    ),
    _kind(
        r"(?P<own>.+)\.ipynb",
        "is a notebook, and notebooks are not graded: save its code as {file} "
        "(Jupyter: File, Save and Export Notebook As, Executable Script; Colab: File, Download, Download .py), and hand that in",
    ),
    _kind(
        r"(?P<own>.+?)(\.cpython-\w+)?\.py[co]",
        "is compiled, and only source is graded: hand in {file}",
    ),
    _kind(
        r"(?P<own>.+)\.(docx?|odt|rtf|rtfd|pages|pdf|html?|png|jpe?g|heic|md|tex)",
        "is a document, and only Python source is graded: copy the code into a plain text file, and hand that in as {file}",
    ),
)

COURSE_FILES = ("test_", "programs_", "references_")  # named after a student's file, and lie beside it
DECORATION = re.compile(r"(\.txt|\.text|\.py)+$|[ _-]*(\(\d+\)|- copy|copy( \d+)?|v\d+|final)$", re.IGNORECASE)
SUFFIX = re.compile(r"\.\w{1,5}$")


def look_alike(file: str, names: Iterable[str], *, above: str = "") -> str:
    """Return the sentence on the name that looks most like `file`, or ""; `above` is the path to show before it."""
    found = [(name, told) for name in islice(names, MAX_NAMES) if (told := _advice(file, name))]
    if not found:
        return ""
    name, told = min(found, key=lambda pair: (-_likeness(pair[0], file), pair[0]))
    shown = f"{above}{printable(name)}"
    return f"There is a '{shown}': {told}." if told == RENAME else f"{shown} {told}."


def _advice(file: str, name: str) -> str:
    """Return what a name is and what to do about it, as the rest of a sentence, if it may stand for `file`; else ""."""
    if name.startswith(COURSE_FILES):
        return ""
    name = name[:MAX_SHOWN_NAME]
    for kind in KINDS:
        if (match := kind.pattern.fullmatch(name)) and _alike(next(filter(None, match.groupdict().values())), file):
            return kind.advice.format(file=file)
    if (stem := archive_stem(name)) and _alike(stem, file):
        return f"is an archive: unpack it, and hand in {file}"
    if doubles(file, [name]) or _alike(name, file):
        return f"is no Python source by its name: hand in {file}" if SUFFIX.search(_bare(name)) else RENAME
    return ""


def _likeness(name: str, file: str) -> float:
    return difflib.SequenceMatcher(None, name[:MAX_SHOWN_NAME], file).ratio()


def _alike(name: str, file: str) -> bool:
    """Whether a name differs from that of a file only in what people and programs add to names, or by a slip."""
    own, expected = SUFFIX.sub("", _bare(name)), _bare(file)
    return own == expected or own.endswith(f"_{expected}") or _likeness(own, expected) >= MIN_LIKENESS


def _bare(name: str) -> str:
    bare = unicodedata.normalize("NFKC", name).casefold()
    while (shorter := DECORATION.sub("", bare)) not in {bare, ""}:
        bare = shorter
    return bare.replace("-", "_").replace(" ", "_")
