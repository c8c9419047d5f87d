"""Makes an archive that no repository should hold."""

import gzip
import io
import os
import tarfile

RECORDS = b"5 a=\n" * 13_000
HONEST = b"def total(values):\n    return sum(values)\n\n\ndef greatest(values):\n    return max(values)\n"


def build(place, words):
    """Make the submission beside `place`, and return where it is."""
    content = io.BytesIO()

    def add(name, kind, data):
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(data)
        content.write(info.tobuf() + data + bytes(-len(data) % 512))

    add("noise", tarfile.REGTYPE, os.urandom(500_000))
    for _ in range(940):
        add("x", tarfile.XHDTYPE, RECORDS)
    add("ch01_single/total.py", tarfile.REGTYPE, HONEST)
    archive = place.with_name(f"{place.name}.tar.gz")
    archive.write_bytes(gzip.compress(content.getvalue()))
    return archive
