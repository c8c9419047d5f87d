"""Where in a hand-in its chapters lie, however it was wrapped, packed and named, and where something like them was seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice
from typing import NamedTuple

from grader.batch.intake.archive import archive_folder, archive_stem
from grader.batch.intake.bounds import MAX_ARCHIVE_BYTES
from grader.batch.intake.likeness import look_alike
from grader.batch.intake.listing import Declared, LeftOut
from grader.batch.intake.take import is_clutter, list_left_out
from grader.batch.intake.tree import Entry, File, Folder, Parts, Refused, RefusedError, doubles, printable, settle

MAX_WRAPPERS = 4  # folders around those of the chapters, `assignments` not counted
MAX_FOLDERS = 1000  # that are looked through
MAX_ARCHIVES = 8  # inside the hand-in, that are opened
MAX_SHOWN = 5
MAX_SEEN = 3
MAX_LOOKED = 50  # folders in which something like a chapter is looked for
COURSE = "assignments"


class Place(NamedTuple):
    """A folder of a hand-in."""

    parts: Parts
    """The names that lead there from the top."""

    folder: Folder
    entries: Mapping[str, Entry]
    """What lies in it; a chapter's name that two entries have, is refused."""

    @property
    def path(self) -> str:
        """How one gets there, to show: "hw2/week1/", or "" for the top."""
        return "".join(f"{printable(part)}/" for part in self.parts)

    @property
    def is_wrapped(self) -> bool:
        """Whether its student chose to put it into another folder, and named it for that."""
        return bool(self.parts) and not archive_stem(self.parts[-1])

    @property
    def rank(self) -> int:
        """How deep it lies."""
        return _rank(self.parts)


def _rank(parts: Parts) -> int:
    """Return how deep a place lies; in a copy of the course, a bit less deep than in any other folder."""
    wrappers = len(parts) - parts.count(COURSE)
    return 2 * wrappers + (wrappers < len(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundChapters:
    """Where the chapters of one submission lie."""

    places: Mapping[str, Place]
    """By chapter id, without those that were not handed in."""

    problems: Mapping[str, str] = field(default_factory=dict)
    """Why the others were not found, and where something like them was seen; by chapter id."""

    left_out: tuple[LeftOut, ...] = ()
    """What lies next to the chapters."""

    seen: tuple[Place, ...] = ()
    """All that was looked through."""


Archives = Mapping[Parts, tuple[Place, ...] | RefusedError]
"""What archives in a hand-in hold, or why they cannot be read; by the names that lead to them."""


class _Candidate(NamedTuple):
    """A place that may be a chapter's."""

    likelihood: int
    """Lower is more likely."""

    rank: int
    place: Place | None
    problem: str = ""
    """Why it cannot be taken although it is meant."""


HOLDS_ITS_FILES, FILES_ALONE, NAME_ALONE = range(3)
"""How likely a folder is a chapter's: by name and files, by files, by name."""


def find_chapters(root: Folder, known: Sequence[Declared], wanted: Sequence[Declared]) -> FoundChapters:
    """Return where the chapters to grade lie in a hand-in; `known` are all chapters of the course.

    A chapter is a folder of its name, in up to MAX_WRAPPERS other folders; the least deep one counts. Where there is none,
    it is a folder that holds its files and those of no other chapter. Where there is none either, it is looked for in the
    archives that lie in the hand-in.
    Raises: RefusedError if the hand-in itself cannot be listed.
    """
    places = tuple(_walk(root, (), known))
    found = {chapter.id: _best(chapter, places, known) for chapter in wanted}
    missing = [chapter for chapter in wanted if (best := found[chapter.id]) is None or best.likelihood == NAME_ALONE]
    archives = _open_archives(places, known) if missing else {}
    for inner in archives.values():
        places += () if isinstance(inner, RefusedError) else inner
    found |= {chapter.id: _best(chapter, places, known) for chapter in missing}
    taken = {name: best.place for name, best in found.items() if best is not None and best.place is not None}
    told = _what_is_there(places, taken, archives, known)
    problems = {
        chapter.id: best.problem if (best := found[chapter.id]) else " ".join([told, *_seen(chapter, places, taken)])
        for chapter in wanted
        if chapter.id not in taken
    }
    return FoundChapters(
        places=taken, problems=problems, left_out=tuple(_beside(places, taken, archives, known)), seen=places
    )


def _walk(top: Folder, above: Parts, known: Sequence[Declared]) -> Iterator[Place]:
    """Yield a folder and those in it, less deep ones first. Raises: RefusedError if `top` cannot be listed."""
    ids = [chapter.id for chapter in known]
    waiting = [(_rank(above), above, top)]
    for _ in range(MAX_FOLDERS):
        if not waiting:
            return
        _, parts, folder = heappop(waiting)
        try:
            place = Place(parts, folder, settle(folder.entries(), ids))
        except RefusedError:
            if parts == above:
                raise
            continue
        yield place
        for name, entry in place.entries.items():
            inside = (*parts, name)
            if (
                isinstance(entry, Folder)
                and not _is_aside(name)
                and _rank(inside) <= _rank(above) + 2 * MAX_WRAPPERS + 3
            ):
                heappush(waiting, (_rank(inside), inside, entry))


def _is_aside(name: str) -> bool:
    """Whether a program keeps something of its own in a folder of this name."""
    return is_clutter(name) or name.startswith(".") or name == "__pycache__"


def _open_archives(places: Iterable[Place], known: Sequence[Declared]) -> dict[Parts, tuple[Place, ...] | RefusedError]:
    """Return what each archive that lies in a hand-in holds, or why it cannot be read. Archives in those are not opened."""
    archives = {
        (*place.parts, name): entry
        for place in places
        for name, entry in sorted(place.entries.items())
        if isinstance(entry, File) and archive_stem(name) and not _is_aside(name)
    }
    opened: dict[Parts, tuple[Place, ...] | RefusedError] = {}
    for parts, archive in islice(archives.items(), MAX_ARCHIVES):
        try:
            opened[parts] = tuple(_walk(archive_folder(parts[-1], archive.read(MAX_ARCHIVE_BYTES)), parts, known))
        except RefusedError as refusal:
            opened[parts] = refusal
    return opened


def _best(chapter: Declared, places: Iterable[Place], known: Sequence[Declared]) -> _Candidate | None:
    """Return the likeliest place of a chapter, or why none can be taken although it was handed in; None if it was not."""
    candidates = [candidate for place in places if (candidate := _candidate(chapter, place, known))]
    if not candidates:
        return None
    likeliest = min(candidate[:2] for candidate in candidates)
    best, *others = (candidate for candidate in candidates if candidate[:2] == likeliest)
    if best.place is not None and others and others[0].place is not None and best.likelihood != NAME_ALONE:
        twice = f"Both {best.place.path} and {others[0].place.path} hold its files: keep one of the two."
        return best._replace(place=None, problem=twice)
    return best


def _candidate(chapter: Declared, place: Place, known: Sequence[Declared]) -> _Candidate | None:
    refused = place.entries.get(chapter.id)
    if isinstance(refused, Refused):
        problem = f"{place.path}{chapter.id} {refused.fault}. {refused.remedy}"
        return _Candidate(HOLDS_ITS_FILES, place.rank + 2, None, problem)
    files = {name for name, entry in place.entries.items() if not isinstance(entry, Folder)}
    holds = not files.isdisjoint(chapter.files)
    if place.folder.name == chapter.id:
        return _Candidate(HOLDS_ITS_FILES if holds else NAME_ALONE, place.rank, place)
    # A wrong name is told and not guessed, because `ch02_old` may stand beside another.
    name = place.folder.name
    if not holds or any(name == other.id or (place.is_wrapped and _means(name, other)) for other in known):
        return None
    fitting = [other.id for other in known if not files.isdisjoint(other.files)]
    if len(fitting) == 1:
        return _Candidate(FILES_ALONE, place.rank, place)
    problem = f"The files could be those of {' and '.join(fitting)}: put them into folders so named."
    return _Candidate(FILES_ALONE, place.rank, None, problem)


def _means(name: str, chapter: Declared) -> bool:
    return name.casefold().startswith(chapter.short) or bool(doubles(chapter.id, [name]))


def _what_is_there(
    places: Sequence[Place], taken: Mapping[str, Place], archives: Archives, known: Iterable[Declared]
) -> str:
    if taken:
        return f"The submission holds only {', '.join(sorted(taken))}."
    top = _only_folder(places, known)
    entries = {name: entry for name, entry in _opened(top, archives).items() if not is_clutter(name)}
    if not entries:
        return "The submission is an empty folder."
    left_out = list_left_out(entries, "", above=top.path)
    shown = ", ".join(
        left.path + "/" * is_folder + (f" ({left.reason})" if left.reason else "")
        for left, is_folder in zip(
            left_out[:MAX_SHOWN], [isinstance(entries[name], Folder) for name in sorted(entries)], strict=False
        )
    )
    if len(entries) > MAX_SHOWN:
        shown += f" and {len(entries) - MAX_SHOWN} more"
    return f"The submission holds only {shown}."


def _only_folder(places: Sequence[Place], known: Iterable[Declared]) -> Place:
    """Return the folder in which everything lies that was handed in and can be used: the top, or what it wraps."""
    top = places[0]
    for place in places[1:]:
        usable = [name for name, entry in top.entries.items() if not (is_clutter(name) or isinstance(entry, Refused))]
        is_wrapped = place.parts == (*top.parts, *usable) and len(usable) == 1
        if (
            is_wrapped
            and isinstance(top.entries[usable[0]], Folder)
            and not any(_means(usable[0], chapter) for chapter in known)
        ):
            top = place
    return top


def _seen(chapter: Declared, places: Iterable[Place], taken: Mapping[str, Place]) -> list[str]:
    """Return where something like a chapter was seen, and what to do about it."""
    used = [place.parts for place in taken.values()]
    looked = islice(places, MAX_LOOKED)
    found = [told for place in looked for told in _seen_at(chapter, place, is_used=place.parts in used)]
    more = [f"There are {len(found) - MAX_SEEN} more like that."] if len(found) > MAX_SEEN else []
    return [*found[:MAX_SEEN], *more]


def _seen_at(chapter: Declared, place: Place, *, is_used: bool) -> Iterator[str]:
    """Yield what was seen in one place; where another chapter's files lie, only what bears the very name of a file."""
    if place.is_wrapped and place.folder.name != chapter.id and _means(place.folder.name, chapter):
        yield f"Rename {place.path} to {chapter.id}/."
        return
    others = [
        name
        for name, entry in place.entries.items()
        if name not in chapter.files and not isinstance(entry, Folder) and not is_used
    ]
    for file in chapter.files:
        if file in place.entries:
            yield f"There is a {place.path}{file}: put it into {chapter.id}/."
        elif told := look_alike(file, others, above=place.path):
            yield told


def _beside(
    places: Sequence[Place], taken: Mapping[str, Place], archives: Archives, known: Iterable[Declared]
) -> Iterator[LeftOut]:
    """Yield what lies next to the chapters that are graded or, if there are none, in the hand-in."""
    used = [place.parts for place in taken.values()]
    ends = used or [_only_folder(places, known).parts]
    on_the_way = {parts[:depth] for parts in ends for depth in range(len(parts) + 1)}
    for place in places:
        if place.parts in on_the_way and place.parts not in used:
            entries = _opened(place, archives).items()
            others = {name: entry for name, entry in entries if (*place.parts, name) not in on_the_way}
            yield from list_left_out(others, "is not one of the chapters to grade", above=place.path)


def _opened(place: Place, archives: Archives) -> Mapping[str, Entry]:
    """Return what lies in a place, with what became of the archives that were opened."""
    return {name: _became(entry, archives.get((*place.parts, name))) for name, entry in place.entries.items()}


def _became(entry: Entry, inside: tuple[Place, ...] | RefusedError | None) -> Entry:
    if inside is None:
        return entry
    if isinstance(inside, RefusedError):
        return Refused(fault=inside.fault, remedy=inside.remedy)
    return Refused(fault="is an archive in which nothing was found that is to be graded", remedy="Unpack it.")
