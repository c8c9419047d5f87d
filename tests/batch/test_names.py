"""How names of students become names of files, and back."""

import os
import random
import unicodedata

import pytest

from grader.batch.intake.names import MAX_BYTES, file_names, readable, student_name

NAMES = [
    "Zoë",
    unicodedata.normalize("NFD", "Zoë"),
    "हिन्दी नाम",
    "ชื่อไทย",
    "O'Neil (resit)",
    "Smith & Sons",
    "ישראל ישראלי",
    "ann 😀",
    "-rf",
    ".hidden",
    "a\nb\tc\x1b[2J",
    "\u202eecila",
    "100%",
    "%41nn",
    "a~b",
    'a:b|c*d?"e\\f<g>',
    "CON",
    "nul.txt",
    " padded ",
    os.fsdecode(b"\xff\xfe caf\xe9"),
    "x" * 255,
    "한" * 85,
    "x" * 200 + "é" * 27,
]


def test_every_name_has_its_own_safe_file_name():
    """The names of files are all different, also where case does not count, short enough, and hold no sign that acts."""
    names = file_names([*NAMES, "alice", "Alice", "ALICE"])

    assert len(names) == len({name.casefold() for name in names.values()})
    for file_name in names.values():
        assert file_name.isprintable()
        assert len(os.fsencode(file_name)) <= MAX_BYTES
        assert file_name[0].isalnum() or file_name[0] in "%_"
        assert set("/\\:*?\"'<>|&();$`!#\n\t").isdisjoint(file_name)
        assert unicodedata.is_normalized("NFC", file_name)


@pytest.mark.parametrize("name", [name for name in NAMES if len(os.fsencode(name)) < MAX_BYTES])
def test_a_file_name_gives_the_name_back(name):
    """Whoever has a file name has the name."""
    (file_name,) = file_names([name]).values()

    assert name == student_name(file_name)


def test_a_long_name_keeps_its_beginning_and_is_told_from_others():
    """Of a name that is too long the beginning stays readable; the rest becomes a digest."""
    one, other = file_names(["é" * 99 + "x" * 9, "é" * 99 + "x" * 8 + "y"]).values()

    assert one != other
    assert one.startswith("é" * 80)
    assert student_name(one) == student_name(other)


@pytest.mark.parametrize("name", ["alice", "s1234567", "ann-marie.o_neil+2@example.org", "Bob, Jr.", "김철수", "José"])
def test_usual_names_stay(name):
    """A name of letters, digits and common signs is the name of its files."""
    assert {name: name} == file_names([name])


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("O'Neil", "O%27Neil"),
        ("-rf", "%2Drf"),
        (".hidden", "%2Ehidden"),
        ("CON", "%43ON"),
        ("Zoe\u0308", "Zoe%CC%88"),
        ("हिन्दी", "हिन्दी"),
        ("a\x1bb", "a%1Bb"),
        (os.fsdecode(b"caf\xe9"), "caf%E9"),
    ],
)
def test_other_characters_are_written_as_in_a_url(name, file_name):
    """Every other character becomes the bytes of its UTF-8."""
    assert {name: file_name} == file_names([name])


def test_names_that_differ_by_case_are_two_files_everywhere():
    """Names that differ only by case keep small letters only, whichever comes first."""
    assert {"alice": "alice", "Alice": "%41lice", "bob": "bob"} == file_names(["alice", "Alice", "bob"])
    assert file_names(["alice", "Alice"]) == file_names(["Alice", "alice"])


def test_any_bytes_are_a_name():
    """Whatever bytes a file system holds, they come back."""
    dice = random.Random(5)
    names = {
        os.fsdecode(dice.randbytes(dice.randrange(1, 30)).replace(b"/", b"").replace(b"\0", b"")) for _ in range(999)
    }

    files = file_names(names - {""})

    assert names - {""} == {student_name(file_name) for file_name in files.values()}
    assert len(files) == len({file_name.casefold() for file_name in files.values()})


def test_a_name_that_is_no_text_can_be_written_into_a_result():
    """Bytes that are not UTF-8 are escaped, and other names are as they are."""
    assert "caf\\xe9" == readable(os.fsdecode(b"caf\xe9"))
    assert "Zoë\u202e" == readable("Zoë\u202e")
