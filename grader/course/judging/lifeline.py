"""What ends a judge when the command that started it is gone, whichever way it went.

A judge inherits one end of a pipe, and nobody but the command holds the other. When that closes, the kernel sends the judge a
signal: this needs no thread of the judge, and nothing of the command, which may have been killed.
"""

import fcntl
import os
import select
import signal
import weakref
from collections.abc import Mapping

VARIABLE = "COURSE_LIFELINE"
F_SETSIG = 10  # fixed in the kernel's ABI; Python's fcntl does not name it


class Lifeline:
    """The command's end; judges end when this object, or its process, is gone."""

    def __init__(self) -> None:
        self.of_judges, own = os.pipe()
        weakref.finalize(self, _close, self.of_judges, own)

    @property
    def settings(self) -> Mapping[str, str]:
        """What a judge, which inherits `of_judges`, has to find in its environment."""
        return {VARIABLE: str(self.of_judges)}


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def end_with_command() -> None:
    """Have the kernel end this process, a judge, when its command is gone. Do nothing if no command has started it."""
    told = os.environ.pop(VARIABLE, None)
    if told is None:
        return
    descriptor = int(told)
    os.set_inheritable(descriptor, False)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([descriptor], [], [], 0)[0]:  # it went before this process could ask for the signal
        os.kill(os.getpid(), signal.SIGTERM)
