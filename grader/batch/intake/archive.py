"""The tree in a zip or tar file, which is read into memory once, within limits, and never written to disk.

A fault in one entry refuses only that entry; a fault that makes the whole archive doubtful refuses the archive.
"""

import re
from itertools import islice

from grader.batch.intake.bounds import AGAIN, MAX_PATH, damaged
from grader.batch.intake.tar_file import tar_members
from grader.batch.intake.tree import MAX_ENTRIES, Entry, File, Folder, Refused, RefusedError, too_many
from grader.batch.intake.zip_file import zip_members

DEPTH = 7  # wrapper/wrapper/wrapper/alice/assignments/chNN_name/file: nothing is taken from below

UNREADABLE = (".tar.zst", ".rar", ".7z")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

TWICE = Refused(fault="is in the archive twice", remedy="Make the archive again with one of them.")

Branch = dict[str, "Branch | File | Refused"]
"""A folder of the tree while it is built."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def archive_stem(name: str) -> str:
    """Return an archive's name without its suffix, or "" if the name is not that of an archive."""
    for suffix in (*UNREADABLE, *SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return ""


def archive_folder(name: str, content: bytes) -> Folder:
    """Return the tree in an archive; the end of its name says of what kind it is.

    Raises: RefusedError if the archive cannot be used.
    """
    if name.lower().endswith(UNREADABLE):
        raise RefusedError("is an archive of a kind that is not read", "Hand in a .zip or a .tar.gz file.")
    members = zip_members if name.lower().endswith(".zip") else tar_members
    tree: Branch = {}
    try:
        found = list(islice(members(content), MAX_ENTRIES + 1))
    except RefusedError:
        raise
    except Exception:  # noqa: BLE001 -- tarfile, struct and the decompressors raise a dozen kinds, none of which may end the batch
        raise damaged() from None
    if len(found) > MAX_ENTRIES:
        raise too_many()
    for member_path, what in found:
        _plant(tree, member_path, what)
    return _folder(archive_stem(name), tree)


def _plant(tree: Branch, path: str, what: File | Refused | None) -> None:
    if fault := _fault_in_path(path):
        tree[path] = Refused(fault=fault, remedy=AGAIN)
        return
    parts = [part for part in path.split("/") if part not in {"", "."}]
    folders = parts[:DEPTH] if what is None else parts[:-1][:DEPTH]
    for part in folders:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            tree[part] = TWICE
            return
        tree = below
    if what is not None and 0 < len(parts) <= DEPTH:
        tree[parts[-1]] = TWICE if parts[-1] in tree else what


def _fault_in_path(path: str) -> str:
    if len(path) > MAX_PATH:
        return f"has a name of more than {MAX_PATH} characters"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "has an absolute name"
    if "\\" in path:
        return "has a backslash in its name where folders are divided by /"
    if ".." in path.split("/"):
        return "has a name that leads out of the archive"
    if CONTROL.search(path):
        return "has a control character in its name"
    return ""


def _folder(name: str, tree: Branch) -> Folder:
    def entries() -> dict[str, Entry]:
        return {below: _folder(below, what) if isinstance(what, dict) else what for below, what in tree.items()}

    return Folder(name=name, entries=entries)
