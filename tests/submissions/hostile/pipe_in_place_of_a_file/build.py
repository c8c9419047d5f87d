"""Makes a submission that no repository should hold."""

import os

GREATEST = "\n\ndef greatest(values):\n    return max(values)\n"


def build(place, words):
    """Make the submission at `place`."""
    folder = place / "ch01_single"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "total.py", 0o644)
