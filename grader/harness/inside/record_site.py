"""Where in the student's code a communication was issued, and through which function of torch."""

import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

from grader.harness.protocol.journal import CallSite, printable

# People call the functions of these files; what those call in turn is torch's own business.
API_FILES = ("torch/distributed/distributed_c10d.py", "torch/distributed/_functional_collectives.py")


class Caller(NamedTuple):
    """Who called."""

    site: CallSite | None
    """The line; None if no source root has a frame on the stack."""

    api: tuple[str, ...]
    """Names of torch's functions between that line and the operation, the innermost first."""


class _Origin(NamedTuple):
    """Where the file of a frame comes from."""

    root: int
    """Index of its source root."""

    file: str
    """Relative to that root."""


class SiteFinder:
    """Finds the line that issued a communication: the innermost frame of the first source root that has one."""

    def __init__(self, source_roots: Sequence[str]) -> None:
        self._roots = tuple(source_roots)
        self._known: dict[str, _Origin | None] = {}

    def caller(self) -> Caller:
        """Return who called the function that calls this one."""
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - documented; the way to a frame without a traceback
        api: list[str] = []
        best: tuple[FrameType, _Origin] | None = None
        while frame is not None:
            code = frame.f_code
            origin = self._origin(code.co_filename)
            if origin is None:
                if best is None and code.co_filename.endswith(API_FILES):
                    api.append(code.co_name)
            elif best is None or origin.root < best[1].root:
                best = (frame, origin)
            frame = frame.f_back
        return Caller(None if best is None else _site(best[0], best[1].file), tuple(api))

    def _origin(self, file: str) -> _Origin | None:
        if file not in self._known:
            self._known[file] = self._search(file)
        return self._known[file]

    def _search(self, file: str) -> _Origin | None:
        for index, root in enumerate(self._roots):
            if file == root:
                name = os.path.basename(file)  # noqa: PTH119 - pathlib costs ten times more, in every launch
                return _Origin(index, name)
            if file.startswith(root + os.sep):
                return _Origin(index, file[len(root) + 1 :])
        return None


def _site(frame: FrameType, file: str) -> CallSite:
    return CallSite(printable(file), frame.f_lineno, printable(frame.f_code.co_name))
