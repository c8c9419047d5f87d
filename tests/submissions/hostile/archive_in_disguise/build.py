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
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file.writestr("ch01_single/total.py", "def total(values):\n    return 0\n")
            file.writestr("ch01_single/total.py", HONEST)
            file.writestr("ch01_single/Total.py", HONEST)
            file.writestr("CH01_single/total.py", HONEST)
    return archive
