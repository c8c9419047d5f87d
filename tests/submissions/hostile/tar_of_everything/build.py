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
    archive = place.with_name(f"{place.name}.tar.gz")
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as file:
        def add(name, kind=tarfile.REGTYPE, target="", content=b"x"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode = kind, target, len(content) * (kind == tarfile.REGTYPE), 0o6777
            info.devmajor, info.devminor = 8, 0
            file.addfile(info, io.BytesIO(content))

        add("ch01_single/total.py", content=HONEST.encode())
        add("ch01_single/hard", tarfile.LNKTYPE, words["CANARY_FILE"])
        add("ch01_single/soft", tarfile.SYMTYPE, words["CANARY_FILE"])
        add("ch01_single/disk", tarfile.BLKTYPE)
        add("ch01_single/terminal", tarfile.CHRTYPE)
        add("ch01_single/pipe", tarfile.FIFOTYPE)
        add("out", tarfile.SYMTYPE, "../../..")
        add("out/left-behind")
        add("../left-behind")
        add("/tmp/left-behind")
        add(f"{words['SOLUTIONS']}/ch01_single/total.py")
    return archive
