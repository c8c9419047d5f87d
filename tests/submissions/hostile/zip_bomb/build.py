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
    one = io.BytesIO()
    with zipfile.ZipFile(one, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("ch01_single/total.py", b"#" * (100 << 20))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for number in range(20):
            file.writestr(f"ch01_single/more{number}.py", bytes(4 << 20))
        file.writestr("ch01_single/total.py", b"#" * (100 << 20))
        file.writestr("ch01_single/inner.zip", one.getvalue())
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset : at + offset + 4] = (100).to_bytes(4, "little")  # each claims to hold 100 bytes
            at = content.find(mark, at + 4)
    archive.write_bytes(content)
    return archive
