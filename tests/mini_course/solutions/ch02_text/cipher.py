"""Secret writing."""

FIRST = ord("a")


def encrypt(text: str, key: int) -> str:
    """Return `text` with each small letter moved `key` places on, round the alphabet; all else stays.

    Source: Suetonius, The Lives of the Twelve Caesars, Julius, chapter 56.
    """
    ### BEGIN SOLUTION
    return "".join(chr((ord(letter) - FIRST + key) % 26 + FIRST) if "a" <= letter <= "z" else letter for letter in text)
    ### END SOLUTION
