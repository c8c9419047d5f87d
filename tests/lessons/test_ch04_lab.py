"""The lab of chapter 4 runs as a student runs it, and shows what the lesson says of it."""

import importlib.util
import multiprocessing
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.lessons.lab import cells_of, run_lab

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "assignments/ch04_data_parallelism/lab/compare.py"
SOLUTIONS = ROOT / "solutions/ch04_data_parallelism"
MODEL_BYTES = 4 * 106_240

WAYS = ("one process", "your NaiveDDP", "your BucketedDDP", "PyTorch's DDP", "FSDP2", "FSDP2, keeping parameters")


def rows_of(printed, title):
    """Return the rows of the table whose head holds `title`, as cells by the name at their left."""
    lines = printed.splitlines()
    at = next(number for number, line in enumerate(lines) if title in line)
    cells = [cells_of(line) for line in lines[at + 2 :]]
    return {row[0]: row[1:] for row in cells[: next(n for n, row in enumerate(cells) if row[0] not in WAYS)]}


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Return what the lab printed, and where it drew, for somebody who has solved the exercises."""
    folder = tmp_path_factory.mktemp("lab")
    return run_lab(LAB, folder, "--answers", SOLUTIONS, timeout_s=240), folder / "out/ch04_lab.svg"


def test_all_ways_have_one_loss_curve(solved):
    """Every way starts and ends with the losses of one process, up to rounding in float32."""
    rows = rows_of(solved[0], "furthest")

    assert tuple(rows) == WAYS
    for first, last, off, *_ in rows.values():
        assert (float(first) > 4, float(last) < 1.5) == (True, True)
        assert float(off) < 1e-4


def test_fsdp_holds_its_share(solved):
    """DDP holds parameters, gradients and momentum whole, FSDP2 half of each on two ranks."""
    for name, (*_, parameters, gradients, optimizer_state) in rows_of(solved[0], "furthest").items():
        due = MODEL_BYTES // 2 if name.startswith("FSDP2") else MODEL_BYTES
        assert [parameters, gradients, optimizer_state] == [f"{due:,}"] * 3


def test_what_a_step_communicates(solved):
    """DDP's gradients travel once behind backward, NaiveDDP's after it; FSDP2 gathers for forward and backward, or only once."""
    rows = rows_of(solved[0], "after backward")
    sent = {name: int(row[3].replace(",", "")) for name, row in rows.items()}

    assert rows["one process"][:3] == ["-", "-", "-"]
    assert rows["your NaiveDDP"][:2] == ["-", "-"]
    assert re.fullmatch(r"\d+ all_reduce", rows["your NaiveDDP"][2])
    assert re.fullmatch(r"\d+ all_reduce", rows["your BucketedDDP"][1])
    assert re.fullmatch(r"\d+ all_reduce", rows["PyTorch's DDP"][1])
    assert rows["FSDP2"][:3] == ["3 all_gather", "3 all_gather, 3 reduce_scatter", "-"]
    assert rows["FSDP2, keeping parameters"][:3] == ["3 all_gather", "3 reduce_scatter", "-"]
    assert sent["PyTorch's DDP"] == sent["FSDP2, keeping parameters"] == MODEL_BYTES
    assert sent["FSDP2"] == MODEL_BYTES * 3 // 2
    assert sent["your NaiveDDP"] == pytest.approx(MODEL_BYTES, rel=1e-3)
    assert sent["your BucketedDDP"] == pytest.approx(MODEL_BYTES, rel=1e-3)


def test_the_picture_shows_every_way(solved):
    """The SVG is well formed and has a curve and a labelled bar for each way."""
    root = ET.parse(solved[1]).getroot()
    texts = [element.text for element in root.findall(".//{*}text")]

    assert len(root.findall(".//{*}polyline")) == len(WAYS)
    assert all(any(text.startswith(f"{name}: ") for text in texts) for name in WAYS)


def test_with_stubs_the_rest_is_shown(tmp_path):
    """As released, the lab says which of the reader's parts are missing and compares what there is, also on other ranks."""
    printed = run_lab(LAB, tmp_path, "--steps", 2, "--ranks", 3, "--svg", tmp_path / "lab.svg", timeout_s=240)

    assert "Left out: your NaiveDDP, not written yet: TODO(naive_ddp)." in printed
    assert "Left out: your BucketedDDP, not written yet: TODO(bucketed_ddp)." in printed
    assert tuple(rows_of(printed, "after backward")) == (WAYS[0], *WAYS[3:])
    assert (tmp_path / "lab.svg").is_file()


@pytest.fixture
def compare(monkeypatch):
    """Return the lab's main module."""
    monkeypatch.syspath_prepend(str(LAB.parent))
    spec = importlib.util.spec_from_file_location("compare", LAB)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare", module)
    spec.loader.exec_module(module)
    return module


def test_a_rank_that_fails_ends_the_waiting(compare):
    """One rank's problem is told although the others, which wait for that rank, never answer."""
    (end, failing), (silent, _) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
    failing.send({"problem": "rank 0: ValueError: planted"})

    assert compare._joined(compare._collect([end, silent])).problem == "rank 0: ValueError: planted"


def test_a_rank_that_dies_ends_the_waiting(compare):
    """A process that ends without a result is a problem, too."""
    end, dead = multiprocessing.Pipe(duplex=False)
    dead.close()

    assert compare._collect([end]) == [{"problem": "a rank ended without a result"}]


def test_ranks_that_hang_are_given_up(compare, monkeypatch):
    """After the deadline the lab says which ranks it waited for, and goes on."""
    monkeypatch.setattr(compare, "DEADLINE_S", 0.1)
    (end, done), (silent, _) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
    done.send({"losses": []})

    (told,) = compare._collect([end, silent])

    assert told["problem"].startswith("ranks [1] were not done")


def test_a_loss_that_is_no_number_can_be_drawn(compare):
    """A diverging way has a curve as far as its losses are finite."""
    svg = compare.draw({"one process": [4.0, 3.0], "mine": [4.0, float("nan")]}, {"one process": 0.0, "mine": 8.0})

    assert "nan" not in svg
    assert len(ET.fromstring(svg).findall(".//{*}polyline")) == 2
