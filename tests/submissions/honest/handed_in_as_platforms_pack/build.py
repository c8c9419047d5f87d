"""Makes a hand-in as a learning platform keeps it: the student's archive in a folder, with what desktops add to both."""

import gzip
import io
import tarfile

RIGHT = b"def total(values):\n    return sum(values)\n\n\ndef greatest(values):\n    return max(values)\n"
FILES = {
    "./._homework": b"\0\5\x16\7",
    "./homework/README.md": b"Hello",
    "./homework/.vscode/settings.json": b"{}",
    "./homework/week1/ch01_single/._total.py": b"\0\5\x16\7",
    "./homework/week1/ch01_single/total.py": RIGHT,
}


def build(place, words):
    """Make the submission at `place`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    whole = buffer.getvalue()
    place.mkdir()
    packed = gzip.compress(whole[:1000]) + gzip.compress(whole[1000:]) + bytes(512)
    (place / "homework (final).tar.gz").write_bytes(packed)
    (place / "desktop.ini").touch()
    (place / "onlinetext.html").write_text("<p>See the archive.</p>")
