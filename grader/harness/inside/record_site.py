"""Where in the student's code a communication was issued, and through which function of torch."""

import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

from grader.harness.protocol.journal import CallSite, printable

# Their functions are what people call; everything below them is torch's own plumbing.
API_FILES = ("torch/distributed/distributed_c10d.py", "torch/distributed/_functional_collectives.py")


class Caller(NamedTuple):
    """Who called: the line, and the names of torch's functions between it and the operation, innermost first."""

    site: CallSite | None
    api: tuple[str, ...]


class SiteFinder:
    """Finds the line that is to be blamed: of the first source root that has a frame on the stack, the innermost one."""

    def __init__(self, source_roots: Sequence[str]) -> None:
        self._roots = tuple(source_roots)
        self._known: dict[str, tuple[int, str] | None] = {}

    def caller(self) -> Caller:
        """Return who called the function that calls this one."""
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the documented way to a frame without a traceback
        api: list[str] = []
        best: tuple[int, FrameType, str] | None = None
        while frame is not None:
            code = frame.f_code
            place = self._place(code.co_filename)
            if place is None:
                if best is None and code.co_filename.endswith(API_FILES):
                    api.append(code.co_name)
            elif best is None or place[0] < best[0]:
                best = (place[0], frame, place[1])
            frame = frame.f_back
        return Caller(None if best is None else _site(best[1], best[2]), tuple(api))

    def _place(self, file: str) -> tuple[int, str] | None:
        if file not in self._known:
            self._known[file] = self._search(file)
        return self._known[file]

    def _search(self, file: str) -> tuple[int, str] | None:
        for priority, root in enumerate(self._roots):
            if file == root:
                return priority, os.path.basename(file)  # noqa: PTH119 - pathlib costs ten times more, in every launch
            if file.startswith(root + os.sep):
                return priority, file[len(root) + 1 :]
        return None


def _site(frame: FrameType, file: str) -> CallSite:
    return CallSite(printable(file), frame.f_lineno, printable(frame.f_code.co_name))
