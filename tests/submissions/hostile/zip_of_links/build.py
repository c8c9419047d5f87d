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
        for name, target in (
            ("ch01_single/total.py", f"{words['SOLUTIONS']}/ch01_single/total.py"),
            ("ch01_single/secret", words["CANARY_FILE"]),
            ("ch01_single/out", "../../../.."),
        ):
            link = zipfile.ZipInfo(name)
            link.create_system = 3
            link.external_attr = 0o120777 << 16
            file.writestr(link, target)
        file.writestr("ch01_single/out/left-behind", "x")
    return archive
