"""One command at a time for one folder of results."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course_env.errors import UsageError

WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What parallel file systems answer that were mounted without locks; there, nobody is kept out."""


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keep other commands out of `out` while the block lasts; the kernel lets go of it even after a kill -9.

    Raises: UsageError if another command has it.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)  # results are for staff, and others work on this machine, too
    with (out / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"Another `grade run` writes to {out}. Wait for its end, or name another --out.") from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield
