"""A zip file is taken as all programs see it, or not at all; and the zip files that people's programs make are taken."""

import io
import struct
import subprocess
import zipfile

import pytest

from grader.batch.intake.bounds import MAX_HEADER_BYTES
from grader.batch.intake.listing import Declared
from grader.batch.intake.read import read_hand_in

CHAPTER = Declared(id="ch01_x", files=("a.py", "b.py"))
NAME = "ch01_x/a.py"
HONEST, OTHER = b"x = 1\n" * 20, b"x = 2\n" * 20


class Unseekable(io.RawIOBase):
    """What a program writes to that packs while it sends."""

    def __init__(self):
        self.content = b""

    def writable(self):
        """Return that it can be written."""
        return True

    def write(self, data):
        """Keep what is written."""
        self.content += bytes(data)
        return len(data)


def zipped(*entries, comment=b"", method=zipfile.ZIP_DEFLATED):
    """Return a zip file of names, or ZipInfos, with their contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, content in entries:
            archive.writestr(name, content, compress_type=method)
    return buffer.getvalue()


@pytest.fixture
def take(tmp_path):
    """Return the function that takes the chapter from a zip file."""

    def write_and_take(content):
        (tmp_path / "alice.zip").write_bytes(content)
        return read_hand_in(tmp_path / "alice.zip", [CHAPTER], [CHAPTER])[0]

    return write_and_take


def refusal(files):
    """Return why the whole archive was refused."""
    assert {} == files.contents
    (left,) = files.left_out
    assert "alice.zip" == left.path
    return left.reason


def moved(content, by):
    """Return a zip file whose offsets are right although so many bytes stand before it."""
    moved_content = bytearray(content)
    end = content.rindex(b"PK\x05\x06")
    (start,) = struct.unpack_from("<L", content, end + 16)
    struct.pack_into("<L", moved_content, end + 16, start + by)
    at = content.find(b"PK\x01\x02", start)
    while at >= 0:
        (offset,) = struct.unpack_from("<L", content, at + 42)
        struct.pack_into("<L", moved_content, at + 42, offset + by)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(moved_content)


def list_of(content):
    """Return the list of entries of a zip file, and the end record."""
    end = content.rindex(b"PK\x05\x06")
    (start,) = struct.unpack_from("<L", content, end + 16)
    return content[start:end], content[end:]


ONE, TWO = zipped((NAME, HONEST)), zipped((NAME, OTHER))
ENTRY = ONE[: ONE.index(b"PK\x01\x02")]
LIST, END = list_of(ONE)


@pytest.mark.parametrize(
    "content",
    [
        ONE + TWO,
        ONE + moved(TWO, len(ONE)),
        b"#!/bin/sh\n" + ONE,
        b"#!/bin/sh\n" + moved(ONE, 10),
        ENTRY + moved(TWO, len(ENTRY)),
        ENTRY + LIST + END + END,
        ENTRY + LIST + END[:-2] + struct.pack("<H", len(END)) + END,
        ENTRY + LIST + END[:-2] + struct.pack("<H", len(TWO)) + moved(TWO, len(ONE)),
        zipped((NAME, HONEST), comment=END),
        zipped((NAME, HONEST), comment=b"PK\x05\x06 and nothing else"),
        ENTRY + LIST + b"PK\x01\x02" + END,
        ENTRY + b"PK\x03\x04" + LIST + END,
        ENTRY[:-1] + LIST + END,
        ENTRY + LIST + END[:10] + struct.pack("<H", 0) + END[12:],
        ENTRY + LIST + END[:10] + struct.pack("<H", 2) + END[12:],
        ENTRY + LIST + END[:4] + struct.pack("<HH", 1, 1) + END[8:],
        ENTRY + LIST + END + b"more",
    ],
    ids=[
        "two archives",
        "two archives, the second with its offsets",
        "a script before it",
        "a script before it, with offsets",
        "an entry that only a stream shows",
        "the end record twice",
        "an end record in a comment",
        "an archive in a comment",
        "an end record as comment",
        "half an end record as comment",
        "the list goes on",
        "another entry before the list",
        "a byte too few",
        "fewer entries than listed",
        "more entries than listed",
        "one of several disks",
        "text after the end",
    ],
)
def test_a_file_in_which_two_programs_see_two_archives_is_refused(take, content):
    """Nothing is taken where programs differ in which entries they see, and the student reads one sentence."""
    assert refusal(take(content)) in {
        "is damaged, or no archive of the kind that its name says",
        "is one part of an archive in several files",
        *(
            f"holds data that belongs to none of its entries, {where}, as two archives in one file do"
            for where in (
                "around its end record",
                "before its first entry",
                "between its entries",
                "in its list of entries",
            )
        ),
    } or "overlap" in refusal(take(content))


@pytest.mark.parametrize("other", [b"ch01_x/b.py", b"ch01_x/A.py", b"ch01_x/a\0py"])
def test_an_entry_whose_two_names_differ_is_refused(take, other):
    """If list and entry disagree about a name, neither name is taken."""
    for content in (ENTRY.replace(NAME.encode(), other) + LIST + END, ENTRY + LIST.replace(NAME.encode(), other) + END):
        assert {} == take(content).contents


def test_an_entry_whose_two_sizes_differ_is_refused(take):
    """If list and entry disagree about where the content ends, nothing is taken."""
    content = bytearray(ONE)
    content[18:22] = struct.pack("<L", 3)

    assert "a.py is damaged in the archive." in take(bytes(content)).faults["a.py"].explanation


@pytest.mark.parametrize("entries", [1, 2, 1 << 40])
@pytest.mark.parametrize("start", [0, 1 << 40])
def test_large_end_records_that_lie_are_refused(take, entries, start):
    """A large end record must say what the small one says."""
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, len(LIST), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(ENTRY + LIST), 1)

    assert {} == take(ENTRY + LIST + large + locator + END).contents


@pytest.mark.parametrize("length", [4, 65_532])
def test_lists_of_megabytes_are_not_read(take, length):
    """Thousands of extra fields cost as little time as none."""
    extra = b"\2\0\0\0" * (length // 4)
    listed = LIST[:24] + b"\xff" * 4 + LIST[28:30] + struct.pack("<H", len(extra)) + LIST[32:] + extra
    number = MAX_HEADER_BYTES // len(listed) + 1
    listed *= number
    end = END[:8] + struct.pack("<HHL", number % 65536, number % 65536, len(listed)) + END[16:]

    assert refusal(take(ENTRY + listed + end)) in {
        f"describes its entries in more than {MAX_HEADER_BYTES} bytes",
        "holds more than 10000 entries",
    }


def streamed():
    """Return a zip file whose sizes follow the entries."""
    sink = Unseekable()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, HONEST)
        archive.writestr("ch01_x/b.py", HONEST)
    return sink.content


def with_large_sizes():
    """Return a zip file that keeps sizes where those of large files are kept."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open(NAME, "w", force_zip64=True) as file:
        file.write(HONEST)
    return buffer.getvalue()


def with_large_records():
    """Return a zip file as libraries write it that always use the records of large files, also in the list."""
    extra = struct.pack("<HHQQQ", 1, 24, len(HONEST), len(ENTRY) - 30 - len(NAME), 0)
    listed = LIST[:20] + b"\xff" * 8 + LIST[28:30] + struct.pack("<H", len(extra)) + LIST[32:42] + b"\xff" * 4
    listed += NAME.encode() + extra
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(listed), len(ENTRY))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(ENTRY) + len(listed), 1)
    return ENTRY + listed + large + locator + END[:8] + b"\xff" * 12 + END[20:]


def as_powershell_makes_it():
    """Return a zip file whose folders are divided by backslashes, as `Compress-Archive` of Windows does."""
    content = zipped((NAME, HONEST)).replace(NAME.encode(), NAME.replace("/", "\\").encode())
    at = content.index(b"PK\x01\x02")
    return content[: at + 5] + b"\0" + content[at + 6 :]


def as_finder_makes_it():
    """Return a zip file with folders of their own, names in UTF-8 that are not marked so, and shadow files."""
    sink = Unseekable()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("hwx/", "hwx/ch01_x/", "hwx/ch01_x/a.py", "__MACOSX/", "__MACOSX/hwx/ch01_x/._a.py"):
            archive.writestr(name, b"" if name.endswith("/") else HONEST)
    return sink.content.replace(b"hwx", b"h\xc3\xa9")


def appended():
    """Return a zip file to which a file was added later."""
    buffer = io.BytesIO(zipped(("notes.txt", b"")))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(NAME, HONEST)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        streamed(),
        with_large_sizes(),
        with_large_records(),
        as_powershell_makes_it(),
        as_finder_makes_it(),
        appended(),
        zipped((NAME, HONEST), method=zipfile.ZIP_STORED),
        zipped((NAME, HONEST), ("old.zip", TWO), method=zipfile.ZIP_STORED),
        zipped((NAME, HONEST), comment=b"by a platform"),
        ONE + bytes(512),
    ],
    ids=["streamed", "zip64", "zip64 all", "powershell", "finder", "appended", "stored", "nested", "comment", "padded"],
)
def test_what_honest_programs_make_is_taken(take, content):
    """Every way in which common programs write a zip file is understood."""
    assert HONEST == take(content).contents["a.py"]


def test_an_archive_of_git_is_taken(take, tmp_path):
    """A zip file as GitHub makes it, with the commit in its comment, is taken."""
    folder = tmp_path / "repo"
    (folder / "ch01_x").mkdir(parents=True)
    (folder / NAME).write_bytes(HONEST)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    done = subprocess.run(
        [*git, "archive", "--format=zip", "--prefix=repo-main/", "HEAD"], check=True, capture_output=True
    )

    assert HONEST == take(done.stdout).contents["a.py"]
