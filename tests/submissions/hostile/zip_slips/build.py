"""Makes an archive that no repository should hold."""

import io
import os
import tarfile
import zipfile

HONEST = '''"""Honest."""


def total(values):
    return sum(values)


def greatest(values):
    return max(values)
'''

def build(place, words):
    """Make the submission beside `place`, and return where it is."""
    archive = place.with_name(f"{place.name}.zip")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ch01_single/total.py", HONEST)
        for name in (
            "../left-behind", "../../../../../../tmp/left-behind", "/tmp/left-behind", "ch01_single/../../left-behind",
            "ch01_single/../../course/solutions/ch01_single/total.py", "..\\left-behind", "C:\\left-behind", "//left-behind",
            f"{words['SOLUTIONS']}/ch01_single/total.py", "ch01_single/./more.py", "ch01_single//more.py", "\x1b[2J", "~/left-behind",
        ):
            file.writestr(name, "x")
    return archive
