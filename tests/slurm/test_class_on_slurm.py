"""A class that handed in every chapter gets the same results on two nodes as on this machine."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from grader.cluster.desk import current_desk
from grader.cluster.packing import Item
from grader.course.catalog import load_course
from tests.slurm.small_class import without_times

ROOT = Path(__file__).parent.parent.parent
# Every job has a node to itself, so that both have some, and every item a job.
PROFILE = """
cpus_per_task = 2
minutes = 30
worthwhile_minutes = 0.01
settle_s = 1.0
queue_every_s = 0.5
sbatch = { exclusive = true }
"""
PATIENCE_S = 1200
CHAPTERS = [chapter.id for chapter in load_course(ROOT).chapters]


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """Two students: one has solved everything, one of every chapter the first file."""
    folder = tmp_path_factory.mktemp("submitted")
    for chapter in load_course(ROOT).chapters:
        for student, solved in (("diligent", chapter.files), ("hurried", sorted(chapter.files)[:1])):
            (folder / student / chapter.id).mkdir(parents=True)
            for file in chapter.files:
                tree = "solutions" if file in solved else "assignments"
                shutil.copy(ROOT / tree / chapter.id / file, folder / student / chapter.id)
    return folder


def command(submitted, out, *options):
    """Return what to type to grade both."""
    words = (submitted / "diligent", submitted / "hurried", "--seed", 11, "--out", out, *options)
    return [sys.executable, "-m", "grader.cli.grade", "run", *map(str, words)]


def results(out):
    """Return what the result files say, by student, chapter and exercise, without times."""
    found = {}
    for file in sorted((out / "results").iterdir()):
        result = without_times(json.loads(file.read_text()))
        chapters = {chapter["chapter"]: chapter for chapter in result.pop("chapters")}
        found |= {(file.stem, chapter): content for chapter, content in chapters.items()}
        found[file.stem] = result
    return found


def test_every_chapter_is_graded_on_two_nodes_as_here(cluster, submitted, tmp_path):
    """All fields but times are equal; each chapter of each student was judged once, and both nodes judged some."""
    profile = tmp_path / "profile.toml"
    profile.write_text(PROFILE)
    here, there = tmp_path / "here", tmp_path / "there"
    cluster.run(*command(submitted, here), cwd=ROOT, code=1, patience_s=PATIENCE_S)

    cluster.run(*command(submitted, there, "--on", profile), cwd=ROOT, code=1, patience_s=PATIENCE_S)

    assert results(here) == results(there)
    assert set(CHAPTERS) == {key[1] for key in results(there) if isinstance(key, tuple)}
    desk = current_desk(there / "jobs")
    token = desk.read_plan().token
    items = [Item(student, chapter) for student in ("diligent", "hurried") for chapter in CHAPTERS]
    assert {"node0", "node1"} == {desk.verdict(item, token).node for item in items}
    assert dict.fromkeys(items, 1) == {item: desk.times_begun(item) for item in items}
    assert all(chapter["score"] == chapter["points"] for key, chapter in results(there).items() if key[0] == "diligent")
