"""Files that must be whole, secret or gone: folders that student code wrote to, results, keys."""

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
    """Remove `folder` and all in it, as far as that is allowed; never raise for what student code has put there."""
    with contextlib.suppress(RecursionError):  # shutil recurses, and folders nest deeper than Python's stack
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], stderr=subprocess.DEVNULL, check=False)


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` into a file, all of it or nothing, durably.

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
    """Have an error say which file it is about: where a disk is full, the kernel does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def make_key(folder: Path) -> None:
    """Write a fresh random key to `folder`/key, for this user's eyes only.

    Raises: FileExistsError if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
