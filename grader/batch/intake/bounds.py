"""What reading an archive may cost, and the refusals that several kinds of archive share."""

from grader.batch.intake.tree import MAX_FILE_BYTES, File, Refused, RefusedError

MAX_ARCHIVE_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 64 << 20
MAX_RATIO = 200  # unpacked to packed, beyond the first MAX_FILE_BYTES; code has less than 10
MAX_HEADER_BYTES = 4 << 20  # of all names and other headers together; an honest archive of 10 000 files has half of it
MAX_PATH = 4096  # characters of one name; longer ones cannot be unpacked anywhere

AGAIN = "Make the archive again, with `zip -r` or `tar -czf`, and hand it in again."

Member = tuple[str, File | Refused | None]
"""A path in an archive and what is there; None for a folder."""


def damaged() -> RefusedError:
    """Return the error for an archive that contradicts itself or its name."""
    return RefusedError("is damaged, or no archive of the kind that its name says", AGAIN)


def two_in_one(where: str) -> RefusedError:
    """Return the error for an archive in which two programs could see two different contents."""
    return RefusedError(
        f"holds data that belongs to none of its entries, {where}, as two archives in one file do", AGAIN
    )


def too_much_header() -> RefusedError:
    """Return the error for an archive that says more about its entries than can be of use."""
    return RefusedError(f"describes its entries in more than {MAX_HEADER_BYTES} bytes", AGAIN)


def require_unpacked(num_bytes: int, packed: int) -> None:
    """Raise RefusedError for an archive that unpacks to more than an honest one would."""
    if num_bytes > max_unpacked(packed):
        fault = f"would unpack to more than {max_unpacked(packed)} bytes"
        raise RefusedError(fault, "Remove what is not code and hand it in again.")


def max_unpacked(packed: int) -> int:
    """Return how many bytes an archive of `packed` bytes may hold."""
    return min(MAX_UNPACKED_BYTES, max(MAX_FILE_BYTES, MAX_RATIO * packed))
