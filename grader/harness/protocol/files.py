"""Writes files whole, makes secret keys, and removes folders that student code wrote to."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

KEY_BYTES = 32


def remove_tree(folder: Path) -> None:
    """Remove `folder` and all in it, as far as permissions allow; raise nothing, whatever student code has put there."""
    with contextlib.suppress(RecursionError):  # shutil recurses, and folders nest deeper than Python's stack
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], stderr=subprocess.DEVNULL, check=False)


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, all of it or nothing, so that it survives a crash of the machine.

    Raises: OSError, with the file's name, if the machine refuses.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name must survive too
        finally:
            os.close(folder)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name into an OSError that lacks it: that of a full disk does."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def make_key(folder: Path) -> None:
    """Write a new random key to `folder`/key, which only this user can read.

    Raises: FileExistsError if there is a key already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
