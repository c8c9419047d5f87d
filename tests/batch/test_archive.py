"""What is taken of a zip or tar file; an archive, however forged, costs only its own submission points."""

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import tracemalloc
import warnings
import zipfile

import pytest

from grader.batch.intake.archive import SUFFIXES
from grader.batch.intake.bounds import MAX_ARCHIVE_BYTES, MAX_UNPACKED_BYTES
from grader.batch.intake.listing import LeftOut
from grader.batch.intake.read import read_hand_in
from grader.batch.intake.take import take_chapter
from grader.batch.intake.tar_file import MAX_EXTENDED
from grader.batch.intake.tree import MAX_ENTRIES, MAX_FILE_BYTES, folder_on_disk, printable
from grader.harness.outcome import Outcome

FOLDER = "ch01_arithmetic"
FILE = f"{FOLDER}/tally.py"
AGAIN = "Make the archive again, with `zip -r` or `tar -czf`, and hand it in again."
TWO_IN_ONE = f"holds data that belongs to none of its entries, {{}}, as two archives in one file do. {AGAIN}"
DAMAGED = f"is damaged, or no archive of the kind that its name says. {AGAIN}"

PACK = {
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tbz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".txz": lzma.compress,
}


@pytest.fixture
def chapter(course):
    """Return the mini course's first chapter, whose files are arithmetic.py and tally.py."""
    return course.chapters[0]


@pytest.fixture
def take(course, tmp_path):
    """Return the function that takes the first chapter from an archive with this content."""

    def write_and_take(content, suffix):
        path = tmp_path / f"alice{suffix}"
        path.write_bytes(content)
        (files,) = read_hand_in(path, course.chapters, course.chapters[:1])
        return files

    return write_and_take


def zipped(*entries, compression=zipfile.ZIP_DEFLATED):
    """Return a zip file of entries, each a name or ZipInfo with its content."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the duplicates that are meant here
        for name, content in entries:
            archive.writestr(name, content, compress_type=compression)
    return buffer.getvalue()


def zip_entry(name, mode):
    """Return the ZipInfo of an entry with this mode of Unix."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def tarred(*entries, tar_format=tarfile.PAX_FORMAT):
    """Return a tar file of entries, each a name or TarInfo with its content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for named, content in entries:
            info = named if isinstance(named, tarfile.TarInfo) else tarfile.TarInfo(named)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_entry(name, kind, **fields):
    """Return the TarInfo of an entry of this type."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_block(name, size, kind=tarfile.REGTYPE):
    """Return one tar header with any size, also one that tarfile would not write; its checksum is right."""
    block = bytearray(tar_entry(name, kind).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(block[:148] + b" " * 8 + block[156:])[0]
    return bytes(block)


def pack(entries, suffix):
    """Return an archive of the kind that a suffix names."""
    return zipped(*entries) if suffix == ".zip" else PACK.get(suffix, bytes)(tarred(*entries))


def why(intake):
    """Return what the student reads about tally.py."""
    return intake.faults["tally.py"].explanation


def why_nothing(intake):
    """Return what is wrong with the whole archive, of an intake that took nothing and says so of every file."""
    assert {} == intake.contents
    assert {Outcome.NOT_ATTEMPTED} == {fault.outcome for fault in intake.faults.values()}
    (explanation,) = {fault.explanation for fault in intake.faults.values()}
    before, after = (
        "Nothing was handed in for ch01_arithmetic. ",
        " Expected: ch01_arithmetic/ with arithmetic.py, tally.py.",
    )
    assert explanation.startswith(before)
    assert explanation.endswith(after)
    return explanation.removeprefix(before).removesuffix(after)


def central(content, name):
    """Return where in a zip file the central header of the last entry of this name starts."""
    return content.rindex(name.encode()) - 46


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "folder",
    [f"{FOLDER}/", f"assignments/{FOLDER}/", "", "alice/", f"alice/{FOLDER}/", f"./alice/assignments/{FOLDER}/"],
)
def test_every_layout_of_a_folder_is_understood_in_every_kind_of_archive(take, suffix, folder):
    """The chapter, the course or its files, with or without a folder around them, are found in every kind of archive."""
    intake = take(pack([(f"{folder}tally.py", b"x = 1\n"), (f"{folder}test_tally.py", b"")], suffix), suffix)

    assert {"tally.py": b"x = 1\n"} == intake.contents
    assert (LeftOut(path="test_tally.py", reason="is not one of the chapter's files"),) == intake.left_out


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_is_taken_as_the_folder_that_it_was_made_of(take, submit, chapter, suffix):
    """A folder and the archive made of it give the same files, faults and lists of what was left out."""
    files = {"tally.py": b"\xff", "notes.txt": b"", "more/a.txt": b"", "inner.zip": b"PK"}
    folder = submit("alice", {f"{FOLDER}/{name}": content for name, content in files.items()})
    entries = [(f"{FOLDER}/{name}", content) for name, content in files.items()]

    assert take_chapter(chapter, folder_on_disk(folder / FOLDER)) == take(pack(entries, suffix), suffix)


def test_what_an_archive_holds_next_to_the_chapters_is_listed(take):
    """Entries next to the chapters are listed as left out, each with its reason."""
    intake = take(zipped((FILE, b""), ("notes.txt", b""), ("old.zip", zipped()), ("../up.py", b"")), ".zip")

    assert (
        LeftOut(path="../up.py", reason="has a name that leads out of the archive"),
        LeftOut(path="notes.txt", reason="is not one of the chapters to grade"),
        LeftOut(path="old.zip", reason="is an archive inside the submission, and was not opened"),
    ) == intake.left_out


def test_what_was_refused_outside_the_wrapping_folder_is_listed(take):
    """Refused entries are listed although everything else lies in one folder."""
    intake = take(zipped((f"alice/{FILE}", b""), ("/etc/passwd", b"")), ".zip")

    assert ["tally.py"] == list(intake.contents)
    assert (LeftOut(path="/etc/passwd", reason="has an absolute name"),) == intake.left_out


def test_an_archive_from_a_mac_is_taken(take):
    """The shadow files that a Mac packs are neither taken nor listed."""
    shadows = [("__MACOSX/._alice", b"\0"), (f"__MACOSX/alice/{FOLDER}/._tally.py", b"\0"), ("alice/.DS_Store", b"\0")]

    intake = take(zipped(("alice/", b""), (f"alice/{FOLDER}/", b""), (f"alice/{FILE}", b"x = 1"), *shadows), ".zip")

    assert {"tally.py": b"x = 1"} == intake.contents
    assert () == intake.left_out


def test_an_archive_from_an_old_windows_is_taken(take):
    """A folder whose name is in an old code page does not keep files from being taken."""
    content = zipped((f"alice-{'x' * 3}/{FILE}", b"x = 1")).replace(b"alice-xxx", b"\x87a va\x82-12")

    assert {"tally.py": b"x = 1"} == take(content, ".zip").contents


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_foreign_letters_are_read_in_every_dialect_of_tar(take, tar_format):
    """Long and foreign names are read in each of the three ways in which tar files keep them."""
    folder = "과제/" if tar_format != tarfile.USTAR_FORMAT else "homework/"
    other = f"{folder}{FOLDER}/{'d' * 80}/{'n' * 90}.txt"

    intake = take(tarred((other, b"12345"), (f"{folder}{FILE}", b"x = 1"), tar_format=tar_format), ".tar")

    assert {"tally.py": b"x = 1"} == intake.contents
    assert ["d" * 80] == [left.path for left in intake.left_out]


def test_an_archive_of_git_is_taken(take):
    """The global header with which `git archive` begins is skipped."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 40}
    ) as archive:
        archive.addfile(tarfile.TarInfo(FILE))

    assert ["tally.py"] == list(take(buffer.getvalue(), ".tar").contents)


def test_a_tar_file_without_its_closing_blocks_is_taken(take):
    """A tar file that ends after its last entry is taken, because some tools write it so."""
    assert {"tally.py": b""} == take(tar_block(FILE, 0), ".tar").contents


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    "names", [(FILE, FILE), (FILE, f"./{FILE}"), (FILE, f"{FOLDER}//tally.py"), (FILE, f"{FILE}/x")]
)
def test_a_name_that_two_entries_claim_is_refused(take, suffix, names):
    """If two entries have one name, neither is taken, because tools differ in which they unpack."""
    for order in (names, names[::-1]):
        content = pack([(name, str(number).encode()) for number, name in enumerate(order)], suffix)

        intake = take(content, suffix)

        assert "tally.py is in the archive twice. Make the archive again with one of them." == why(intake)
        assert {} == intake.contents


def test_a_file_with_a_double_is_not_guessed(take):
    """Two files that differ only by case are both refused: on some file systems one would overwrite the other."""
    intake = take(zipped((FILE, b"x = 1"), (f"{FOLDER}/TALLY.py", b"x = 2")), ".zip")

    assert "tally.py has a double: 'TALLY.py' differs only by case" in why(intake)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (f"/{FILE}", "has an absolute name"),
        (f"C:/{FILE}", "has an absolute name"),
        (f"../bob/{FILE}", "has a name that leads out of the archive"),
        (f"{FOLDER}/../{FILE}", "has a name that leads out of the archive"),
        (FILE.replace("/", "\\"), "has a backslash in its name where folders are divided by /"),
        (f"{FILE}\x1b[2J", "has a control character in its name"),
    ],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_name_that_leads_elsewhere_is_not_followed(take, name, fault, suffix):
    """Absolute names, and names that lead out of the archive, are refused."""
    intake = take(pack([(name, b"x = 1")], suffix), suffix)

    assert f"The submission holds only {printable(name)} ({fault})." == why_nothing(intake)
    assert fault in {left.reason for left in intake.left_out}


def test_a_name_that_ends_at_a_nul_is_not_cut_there(take):
    """A name with a NUL is refused, because zipfile would cut it and other tools would not."""
    content = zipped((f"{FILE}?.txt", b"x = 1")).replace(b"tally.py?", b"tally.py\0")

    assert "has a control character in its name" in why_nothing(take(content, ".zip"))


@pytest.mark.parametrize("mode", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_special_files_in_a_zip_are_refused(take, mode):
    """Of an entry only the bytes are ever taken, and these entries stand for something else."""
    assert "tally.py is not a regular file." in why(take(zipped((zip_entry(FILE, mode), b"x")), ".zip"))


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.GNUTYPE_SPARSE.replace(b"S", b"V")]
)
def test_special_files_in_a_tar_are_refused(take, kind):
    """Of an entry only the bytes are ever taken, and these entries stand for something else."""
    assert "tally.py is not a regular file." in why(take(tarred((tar_entry(FILE, kind), b"")), ".tar"))


@pytest.mark.parametrize("target", ["/etc/passwd", "arithmetic.py", f"../../solutions/{FOLDER}/tally.py"])
def test_links_are_refused(take, target):
    """A link is refused, even if it points into the archive."""
    other = (f"{FOLDER}/arithmetic.py", b"x = 1")
    contents = [
        (zipped(other, (zip_entry(FILE, stat.S_IFLNK | 0o777), target)), ".zip"),
        (tarred(other, (tar_entry(FILE, tarfile.SYMTYPE, linkname=target), b"")), ".tar"),
        (tarred(other, (tar_entry(FILE, tarfile.LNKTYPE, linkname=target), b"")), ".tar"),
    ]
    for content, suffix in contents:
        intake = take(content, suffix)

        assert "tally.py is a link. Hand in what it points to." == why(intake)
        assert ["arithmetic.py"] == list(intake.contents)


@pytest.mark.parametrize("first", [True, False])
def test_a_link_in_a_folders_place_leads_nowhere(take, first):
    """A file below a link is refused: unpacking it would write where the link points."""
    link, file = (zip_entry(FOLDER, stat.S_IFLNK), "/tmp"), (FILE, "x = 1")

    intake = take(zipped(*([link, file] if first else [file, link])), ".zip")

    assert f"{FOLDER} is in the archive twice. Make the archive again with one of them." == why_nothing(intake)


@pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
def test_encrypted_entries_are_refused(take, bit):
    """An encrypted entry is refused, and the message says so."""
    content = bytearray(zipped((FILE, b"x = 1")))
    content[central(content, FILE) + 8 : central(content, FILE) + 10] = struct.pack("<H", bit)

    assert "tally.py is encrypted. Hand it in without a password." == why(take(content, ".zip"))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_rare_compressions_of_zip_are_refused(take, method):
    """Compressions for which the archive decides how much memory is needed are refused."""
    content = zipped((FILE, b"x = 1"), compression=method)

    assert f"tally.py is compressed in a way that is not read. {AGAIN}" == why(take(content, ".zip"))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_file_of_the_largest_size_is_taken_and_no_larger_one(take, suffix):
    """An archive has the same limit as a folder."""
    noise = random.Random(0).randbytes(MAX_FILE_BYTES // 2).hex().encode()

    largest = take(pack([(FILE, noise)], suffix), suffix)
    larger = take(pack([(FILE, noise + b"#")], suffix), suffix)

    assert {"tally.py": noise} == largest.contents
    assert (
        "tally.py has 1048577 bytes, and at most 1048576 are taken. Remove what is not code and hand it in again."
        == why(larger)
    )


@pytest.mark.parametrize("claimed", [0, 10, 1 << 31])
def test_a_zip_bomb_whose_header_lies_is_read_no_further_than_the_cap(take, claimed):
    """A zip bomb is read only up to the limit, whether its header claims too little or too much."""
    content = bytearray(zipped((FILE, bytes(64 << 20))))
    content[central(content, FILE) + 24 : central(content, FILE) + 28] = struct.pack("<I", claimed)
    tracemalloc.start()

    intake = take(bytes(content), ".zip")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {} == intake.contents
    assert peak < 8 << 20
    if claimed < MAX_FILE_BYTES:
        fault = f"has {claimed} bytes by the archive's header, and more than 1048576 in truth"
        assert f"tally.py {fault}. {AGAIN}" == why(intake)
    else:
        assert "alice.zip would unpack to more than" in why(intake)


@pytest.mark.parametrize("claimed", [4, 6])
def test_a_size_that_is_slightly_wrong_is_refused(take, claimed):
    """A file is refused if its size differs from the header's, even by one byte."""
    content = bytearray(zipped((FILE, b"x = 1")))
    content[central(content, FILE) + 24 : central(content, FILE) + 28] = struct.pack("<I", claimed)

    assert f"tally.py has {claimed} bytes by the archive's header, and 5 in truth. {AGAIN}" == why(
        take(content, ".zip")
    )


def test_a_wrong_checksum_is_refused(take):
    """A file whose checksum is wrong is refused."""
    content = zipped((FILE, b"x = 1"), compression=zipfile.ZIP_STORED).replace(b"x = 1", b"x = 2")

    assert f"tally.py is damaged in the archive. {AGAIN}" == why(take(content, ".zip"))


def test_a_name_that_differs_between_a_zips_two_headers_is_refused(take):
    """If the two headers of an entry disagree about its name, it is refused."""
    content = zipped((f"{FOLDER}/other.py", b"x = 1"))
    at = content.rindex(b"other.py")

    intake = take(content[:at] + b"tally.py" + content[at + 8 :], ".zip")

    assert f"tally.py is damaged in the archive. {AGAIN}" == why(intake)


def test_entries_that_overlap_are_refused(take):
    """Entries that share bytes are refused, because they can make a small zip huge."""
    content = bytearray(zipped((FILE, b"x" * 100), (f"{FOLDER}/arithmetic.py", b"x" * 100)))
    at = central(content, "arithmetic.py") - len(FOLDER) - 1
    content[at + 42 : at + 46] = struct.pack("<I", 10)

    assert f"alice.zip has entries that overlap. {AGAIN}" == why_nothing(take(content, ".zip"))


@pytest.mark.parametrize("suffix", [".zip", *PACK])
def test_an_archive_that_unpacks_to_too_much_is_refused(take, suffix):
    """A bomb is refused, and needs no more memory than the largest honest archive."""
    zeros = bytes(2 * MAX_UNPACKED_BYTES)
    content = zipped(("zeros", zeros)) if suffix == ".zip" else PACK[suffix](tarred(("zeros", zeros)))

    reason = why_nothing(take(content, suffix))

    assert reason.startswith(f"alice{suffix} would unpack to more than ")
    assert reason.endswith(" bytes. Remove what is not code and hand it in again.")


def test_a_large_archive_is_refused(take):
    """An archive above the limit is refused without being read further."""
    assert (
        f"alice.tar has {MAX_ARCHIVE_BYTES + 512} bytes, and at most {MAX_ARCHIVE_BYTES} are taken. "
        "Remove what is not code and hand it in again." == why_nothing(take(bytes(MAX_ARCHIVE_BYTES + 512), ".tar"))
    )


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_of_many_entries_is_refused(take, suffix):
    """An archive has the same limit as a folder."""
    content = pack([(f"{number}", b"") for number in range(MAX_ENTRIES + 1)], suffix)

    assert (
        f"alice{suffix} holds more than 10000 entries. Hand in the chapters' folders and nothing else."
        == why_nothing(take(content, suffix))
    )


def test_folders_within_folders_cost_nothing(take):
    """Entries deeper than any declared file take no memory."""
    content = pack([(f"{FOLDER}/{number}/{'d/' * 2000}x", b"") for number in range(500)], ".tar.xz")
    tracemalloc.start()

    take(content, ".tar.xz")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("size", [-1, -512, -1024, 1 << 40, (1 << 63) - 1])
def test_a_tar_header_whose_size_leads_elsewhere_is_refused(take, size):
    """A negative or huge size is refused, on which the tarfile module would loop or read elsewhere."""
    content = tar_block("notes.txt", size) + tar_block(FILE, 0)

    assert f"alice.tar {DAMAGED}" == why_nothing(take(content, ".tar"))


@pytest.mark.parametrize(
    "record", [b"16 size=9999999\n", b"13 size=-512\n", b"24 GNU.sparse.realsize=1\n", b"23 GNU.sparse.name=x.py\n"]
)
def test_extensions_of_tar_that_move_or_rename_content_are_refused(take, record):
    """Extended headers that give an entry another size or name, are refused."""
    record = b"%d %s" % (len(record.partition(b" ")[2]) + 3, record.partition(b" ")[2])
    content = tar_block("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + tar_block(FILE, 0)

    assert f"alice.tar uses extensions of tar that are not read, as for sparse files. {AGAIN}" == why_nothing(
        take(content, ".tar")
    )


def test_a_name_for_all_entries_is_refused(take):
    """A global name is refused, because it would give every entry the name of a declared file."""
    record = b"%d path=%s\n" % (len(FILE) + 9, FILE.encode())
    content = tar_block("x", len(record), tarfile.XGLTYPE) + record.ljust(512, b"\0") + tar_block("y", 0)

    assert "uses extensions of tar" in why_nothing(take(content, ".tar"))


def test_a_sparse_file_is_refused(take):
    """A sparse file is refused, because it may claim terabytes."""
    content = tar_block(FILE, 0, tarfile.GNUTYPE_SPARSE)

    assert "alice.tar holds a sparse file." in why_nothing(take(content, ".tar"))


@pytest.mark.parametrize(
    "data", [b"9999999 path=x\n", b"0 path=x\n", b"-1 path=x\n", b"path=x\n", b"1" * 60_000, b"1" * 70_000]
)
def test_a_damaged_extended_header_is_refused(take, data):
    """A damaged extended header is refused, even one on which a slow pattern would match for hours."""
    padded = data + bytes(-len(data) % 512)
    content = tar_block("x", len(data), tarfile.XHDTYPE) + padded + tar_block(FILE, 0)

    assert f"alice.tar {DAMAGED}" == why_nothing(take(content, ".tar"))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("number", [MAX_EXTENDED, MAX_EXTENDED + 1, 20_000])
def test_a_chain_of_extended_headers_is_read_only_if_it_is_short(take, kind, number):
    """Tools write one or two extended headers before an entry; a chain of them only costs time."""
    intake = take(tar_block("x", 0, kind) * number + tar_block(FILE, 0), ".tar")

    if number <= MAX_EXTENDED:
        assert {"tally.py": b""} == intake.contents
    else:
        assert f"alice.tar has more than 3 extended headers before an entry. {AGAIN}" == why_nothing(intake)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_byte_that_is_lost_or_changed_ends_the_batch(take, suffix):
    """For any lost or changed byte the student reads a sentence, and whatever is taken is unchanged."""
    whole = pack([(f"{FOLDER}/arithmetic.py", b"y = 2\n" * 20), (FILE, b"x = 1\n")], suffix)
    dice = random.Random(suffix)
    cut = [whole[:end] for end in range(0, len(whole), max(1, len(whole) // 60))]
    flipped = [bytearray(whole) for _ in range(200)]
    for content in flipped:
        for _ in range(dice.choice((1, 1, 4))):
            content[dice.randrange(len(whole))] = dice.randrange(256)

    for content in (*cut, *flipped):
        intake = take(bytes(content), suffix)

        assert {"arithmetic.py", "tally.py"} == {*intake.contents, *intake.faults}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"not an archive", b"PK\x05\x06", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0" + bytes(9)]
)
def test_what_is_no_archive_is_refused(take, suffix, content):
    """A renamed file, or one whose upload broke off, is refused."""
    assert f"alice{suffix} {DAMAGED}" == why_nothing(take(content, suffix))


@pytest.mark.parametrize("suffix", PACK)
def test_data_after_the_end_is_refused(take, suffix):
    """Data after the end is refused, because some tools would read it and others would not."""
    packed = pack([(FILE, b"")], suffix)

    assert f"alice{suffix} {TWO_IN_ONE.format('after its end')}" == why_nothing(take(packed + packed, suffix))
    assert f"alice{suffix} {DAMAGED}" == why_nothing(take(packed + b"more", suffix))


def test_xz_that_asks_for_much_memory_is_refused(take):
    """An xz file whose header asks for much memory is refused before anything is unpacked."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]

    content = lzma.compress(tarred((FILE, b"")), filters=filters)

    assert f"alice.tar.xz {DAMAGED}" == why_nothing(take(content, ".tar.xz"))


@pytest.mark.parametrize("suffix", [".rar", ".7z", ".tar.zst"])
def test_other_kinds_of_archives_lose_their_own_points_only(take, suffix):
    """An archive of a kind that is not read earns nothing, and the message says so."""
    intake = take(b"Rar!", suffix)

    assert f"alice{suffix} is an archive of a kind that is not read. Hand in a .zip or a .tar.gz file." == why_nothing(
        intake
    )
    assert (LeftOut(path=f"alice{suffix}", reason="is an archive of a kind that is not read"),) == intake.left_out


def test_names_in_no_encoding_can_be_written(take):
    """A result can be written although a name has no valid encoding."""
    content = tarred((FILE, b""), ("\udcff\u202e.txt", b""), tar_format=tarfile.GNU_FORMAT)

    assert ["\\udcff\\u202e.txt"] == [left.path for left in take(content, ".tar").left_out]


def test_a_bad_archive_costs_its_own_points_and_its_neighbour_none(batch, golden, grade_class):
    """After a bad archive the batch goes on, and --resume keeps its result until the archive changes."""
    right = golden("right")
    files = [(path.relative_to(right).as_posix(), path.read_bytes()) for path in right.rglob("*.py")]
    alice, mallory = right.parent / "alice.zip", right.parent / "mallory.tar.gz"
    alice.write_bytes(zipped(*files))
    mallory.write_bytes(b"\x1f\x8b")

    first = grade_class(batch, alice, mallory)
    again = grade_class(batch, alice, mallory, resume=True)
    mallory.write_bytes(pack(files, ".tar.gz"))
    fixed = grade_class(batch, alice, mallory, resume=True)

    assert (15.0, 0.0) == (first["alice"].score, first["mallory"].score)
    assert first == again
    assert first["alice"] == fixed["alice"]
    assert 15.0 == fixed["mallory"].score
