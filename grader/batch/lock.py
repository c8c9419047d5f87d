"""One command at a time for one folder of results."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course_env.errors import UsageError

WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What a parallel file system answers if it was mounted without locks. There, nobody is kept out."""


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keep other commands out of `out` while the block lasts; the kernel releases the lock even after a kill -9.

    Raises: UsageError if another command holds the lock.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)  # results are for staff only, and other people use this machine
    with (out / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another `grade run` writes to {out}. Wait until it finishes, or choose another --out."
            ) from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield
