"""Secret writing."""

FIRST = ord("a")


def encrypt(text: str, key: int) -> str:
    """Return `text` with each small letter moved `key` places on, round the alphabet; all else stays.

    Source: Suetonius, The Lives of the Twelve Caesars, Julius, chapter 56.
    """
    # TODO(caesar): write this part, and delete the line below.
    raise NotImplementedError("TODO(caesar)")
