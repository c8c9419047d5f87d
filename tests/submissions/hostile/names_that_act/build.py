"""Makes a submission that no repository should hold."""

import os

GREATEST = "\n\ndef greatest(values):\n    return max(values)\n"


def build(place, words):
    """Make the submission at `place`."""
    folder = place / "ch01_single"
    folder.mkdir(parents=True)
    (folder / "total.py").write_text('"""Honest."""\n\n\ndef total(values):\n    return sum(values)\n' + GREATEST)
    for name in ("\x1b[31m\x1b[2J.py", "\u202eyp.latot", "<script>alert(1)</script>", "-rf", "$(id)", "a\nb", "total.py\r", "x" * 255):
        (folder / name.replace("/", "|")).write_text("x")
    (folder / os.fsdecode(b"\xff\xfe")).write_text("x")
