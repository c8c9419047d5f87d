"""A hand-in from its path to the declared files of its chapters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from grader.batch.intake.archive import archive_folder
from grader.batch.intake.bounds import MAX_ARCHIVE_BYTES
from grader.batch.intake.listing import Declared, LeftOut
from grader.batch.intake.places import FoundChapters, Place, find_chapters
from grader.batch.intake.take import ChapterFiles, nothing_to_take, take_chapter
from grader.batch.intake.tree import Folder, RefusedError, folder_on_disk, printable, read_file


def read_hand_in(path: Path, known: Sequence[Declared], wanted: Sequence[Declared]) -> tuple[ChapterFiles, ...]:
    """Return what a folder or archive holds for each of the `wanted` chapters; `known` are all chapters of the course.

    The first also lists what lies next to the chapters.
    """
    try:
        found = find_chapters(_open(path), known, wanted)
    except RefusedError as refusal:
        return unreadable(path, str(refusal), refusal.fault, wanted)
    return tuple(
        _take(chapter, found, left_out=found.left_out if index == 0 else ()) for index, chapter in enumerate(wanted)
    )


def unreadable(path: Path, problem: str, fault: str, wanted: Sequence[Declared]) -> tuple[ChapterFiles, ...]:
    """Return what is taken of a hand-in that cannot be read: nothing. `problem` and `fault` are what follows its name."""
    name = printable(path.name)
    listed = (LeftOut(path=name, reason=fault),)
    return tuple(
        nothing_to_take(chapter, f"{name} {problem}", left_out=listed if index == 0 else ())
        for index, chapter in enumerate(wanted)
    )


def _open(path: Path) -> Folder:
    return folder_on_disk(path) if path.is_dir() else archive_folder(path.name, read_file(path, MAX_ARCHIVE_BYTES))


def _take(chapter: Declared, found: FoundChapters, left_out: tuple[LeftOut, ...]) -> ChapterFiles:
    place = found.places.get(chapter.id)
    if place is None:
        return nothing_to_take(chapter, found.problems[chapter.id], left_out)
    elsewhere = _elsewhere(chapter, place, found)
    files = take_chapter(chapter, place.folder, found_in=place.path, elsewhere=elsewhere)
    return replace(files, left_out=(*files.left_out, *left_out))


def _elsewhere(chapter: Declared, own: Place, found: FoundChapters) -> Mapping[str, str]:
    """Return where files of the chapter's names lie that are not in its folder, nearest first."""
    return {
        file: f"{place.path}{file}"
        for place in reversed(found.seen)
        if place.parts != own.parts
        for file in chapter.files
        if file in place.entries
    }
