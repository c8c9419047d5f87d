"""Makes an archive that no repository should hold."""

import io
import zipfile

WRONG = "def total(values):\n    return 0\n"
HONEST = "def total(values):\n    return sum(values)\n\n\ndef greatest(values):\n    return max(values)\n"


def build(place, words):
    """Make the submission beside `place`, and return where it is."""
    both = b""
    for text in (WRONG, HONEST):
        one = io.BytesIO()
        with zipfile.ZipFile(one, "w") as file:
            file.writestr("ch01_single/total.py", text)
        both += one.getvalue()
    archive = place.with_name(f"{place.name}.zip")
    archive.write_bytes(both)
    return archive
