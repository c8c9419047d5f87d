"""A hand-in is read in a process of its own; whatever happens there costs only that hand-in."""

import io
import os
import subprocess
import sys
import tarfile
import zlib

import pytest

from course_env.errors import LaunchError
from grader.batch.intake.listing import Declared
from grader.batch.intake.read import read_hand_in
from grader.batch.intake.reading_process import read_apart

CHAPTER = Declared(id="ch01_x", files=("a.py",))
BODY = """
import os, signal, sys
from grader.batch.intake import reading_process
reading_process.CPU_LIMIT_S, reading_process.WALL_LIMIT_S = 1, {wall}
def read(path, known, wanted):
    {statement}
reading_process.read_hand_in = read
reading_process.main()
"""


@pytest.fixture
def hand_in(submit):
    """Return a folder that was handed in."""
    return submit("alice", {"ch01_x/a.py": "x = 1"})


@pytest.fixture
def reader_does(monkeypatch):
    """Return the function that replaces what the process does once it has begun to read."""

    def replace(statement, *, wall=60.0, program=BODY):
        run = subprocess.run
        code = program.format(statement=statement, wall=wall)
        monkeypatch.setattr(subprocess, "run", lambda command, **more: run([sys.executable, "-I", "-c", code], **more))

    return replace


def read(path):
    """Return what is taken for the one chapter."""
    return read_apart(path, [CHAPTER], [CHAPTER])[0]


def test_what_is_read_apart_is_what_is_there(hand_in):
    """The process hands back what reading in place gives, errors and lists included."""
    (hand_in / "ch01_x" / "notes.txt").touch()
    (hand_in / "more").mkdir()

    assert read_hand_in(hand_in, [CHAPTER], [CHAPTER])[0] == read(hand_in)
    assert {"a.py": b"x = 1"} == read(hand_in).contents


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"%41", "Zoe\u0308".encode()])
def test_any_path_reaches_the_process(hand_in, name):
    """A path of any bytes names the same hand-in for both processes."""
    renamed = hand_in.rename(hand_in.parent / os.fsdecode(name))

    assert {"a.py": b"x = 1"} == read(renamed).contents


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("while True: pass", "takes more than 5 s to read"),
        ("bytearray(1 << 40)", "takes more than 1024 MiB of memory to read"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "cannot be read: the program that reads it failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "cannot be read: the program that reads it failed"),
        ("os._exit(0)", "cannot be read: the program that reads it failed"),
        ("sys.stdout.buffer.write(b'x' * 100) and os._exit(0)", "cannot be read: the program that reads it failed"),
        ("raise RecursionError", "cannot be read: the program that reads it failed"),
    ],
)
def test_a_reader_that_does_not_end_well_costs_only_its_hand_in(hand_in, reader_does, statement, fault):
    """The hand-in counts as unreadable, its student reads one sentence, and the command goes on."""
    reader_does(statement)

    files = read(hand_in)

    assert ({}, fault) == (files.contents, files.left_out[0].reason)
    assert (
        f"Nothing was handed in for ch01_x. alice {fault}. Make the archive again" in files.faults["a.py"].explanation
    )


def test_a_reader_that_waits_is_cut(hand_in, reader_does):
    """A reader that uses no time of the processor is cut by the clock."""
    reader_does("__import__('time').sleep(600)", wall=0.2)

    assert "could not be read in 60 s" == read(hand_in).left_out[0].reason


@pytest.mark.parametrize(
    "program", ["import nothing_of_this_name", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
)
def test_a_reader_that_cannot_begin_is_no_fault_of_the_hand_in(hand_in, reader_does, program):
    """A broken installation is told to the operator, and costs nobody points."""
    reader_does("pass", program=program)

    with pytest.raises(LaunchError, match="ended before it read"):
        read(hand_in)


def test_a_reader_that_somebody_ends_is_no_fault_of_the_hand_in(hand_in, reader_does):
    """SIGTERM comes from outside, so nothing is recorded."""
    reader_does("os.kill(os.getpid(), signal.SIGTERM)")

    with pytest.raises(LaunchError):
        read(hand_in)


def test_megabytes_of_extended_headers_are_not_read(tmp_path):
    """A small archive that unpacks to extended headers only, which would take 38 s to read, is refused after a few."""
    noise = os.urandom(500_000)
    header = tarfile.TarInfo("noise")
    header.size = len(noise)
    content = header.tobuf() + noise + bytes(-len(noise) % 512)
    records = b"5 a=\n" * 13_000
    for _ in range(940):
        extended = tarfile.TarInfo("x")
        extended.type, extended.size = tarfile.XHDTYPE, len(records)
        content += extended.tobuf() + records + bytes(-len(records) % 512)
        if len(content) > 60 << 20:
            break
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "alice.tar.gz").write_bytes(packer.compress(content) + packer.flush())

    files = read(tmp_path / "alice.tar.gz")

    assert "has more than 3 extended headers before an entry" == files.left_out[0].reason


@pytest.mark.parametrize("step", [2, 3])
def test_records_are_bounded_where_every_entry_has_only_a_few_headers(tmp_path, step):
    """Extended headers between entries are bounded in all, by number of records and by bytes."""
    extended = tarfile.TarInfo("x")
    records = b"5 a=\n" * 12_000 if step == 2 else b"60000 comment=" + b"x" * 59_985 + b"\n"
    extended.type, extended.size = tarfile.XHDTYPE, len(records)
    block = extended.tobuf() + records + bytes(-len(records) % 512) + tarfile.TarInfo("y").tobuf()
    (tmp_path / "alice.tar").write_bytes(block * 100)

    expected = {2: "has more than 100000 records in its extended headers", 3: "describes its entries in more than"}
    assert read(tmp_path / "alice.tar").left_out[0].reason.startswith(expected[step])


def test_parts_of_gzip_and_zeros_after_them_are_taken(tmp_path):
    """A tar file that was compressed in several parts, or padded, is taken as `tar` takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("ch01_x/a.py")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"x = 1"))
    whole = buffer.getvalue()
    for number in (1, 2, 50):
        parts = []
        for start in range(0, len(whole), -(-len(whole) // number)):
            packer = zlib.compressobj(9, zlib.DEFLATED, 31)
            parts.append(packer.compress(whole[start : start + -(-len(whole) // number)]) + packer.flush())
        for padding in (b"", bytes(1), bytes(10_000)):
            (tmp_path / "alice.tar.gz").write_bytes(b"".join(parts) + padding)

            assert {"a.py": b"x = 1"} == read(tmp_path / "alice.tar.gz").contents
