"""A class on several workers: the same results in any order, and nothing graded twice."""

import msgspec
import pytest

from grader.batch.batch import plan_batch
from grader.batch.result import read_result
from grader.batch.workers import earlier_seed
from grader.harness.protocol.wall import Wall

CASES = ("right", "missing_file", "half_right", "rank_exits", "syntax_error")


def as_data(result):
    """Return a result as it stands in its file, without what a clock decides."""
    return without_seconds(msgspec.json.decode(msgspec.json.encode(result)))


def without_seconds(value):
    """Return plain data without its seconds."""
    if isinstance(value, dict):
        return {key: without_seconds(part) for key, part in value.items() if key != "seconds"}
    if isinstance(value, list):
        return [without_seconds(part) for part in value]
    return value


@pytest.fixture
def folders(golden):
    """Return a small class."""
    return [golden(case) for case in CASES]


def test_results_do_not_depend_on_the_number_of_workers(course, folders, grade_class, tmp_path):
    """One worker and two give the same results, apart from seconds, in whatever order they finish."""
    results = []
    for workers in (1, 2):
        batch = plan_batch(course, course.chapters[:1], seed=7, wall=Wall.NONE, out=tmp_path / f"out{workers}")
        ordered = folders if workers == 1 else folders[::-1]
        graded = grade_class(batch, *ordered, workers=workers)
        results.append({name: as_data(graded[name]) for name in sorted(graded)})

    assert results[0] == results[1]


@pytest.fixture
def graded(batch, golden, grade_class):
    """Return a batch that has graded two submissions, and their folders."""
    folders = {case: golden(case) for case in ("right", "missing_file")}
    grade_class(batch, *folders.values())
    return batch, folders


def resumed(batch, folders, grade_class, **changes):
    """Grade again with --resume and return which submissions were kept."""
    again = plan_batch(
        batch.course, batch.chapters, seed=changes.get("seed", batch.seed), wall=Wall.NONE, out=batch.out
    )
    stamps = {case: (batch.results / f"{case}.json").stat().st_mtime_ns for case in folders}
    grade_class(again, *folders.values(), resume=True)
    return {case for case in folders if (batch.results / f"{case}.json").stat().st_mtime_ns == stamps[case]}


def test_resume_keeps_what_has_not_changed(graded, grade_class):
    """Nothing is graded twice."""
    assert {"right", "missing_file"} == resumed(*graded, grade_class)


def test_resume_grades_an_edited_submission_again(graded, grade_class):
    """Only the submission whose file changed is graded again."""
    batch, folders = graded
    path = folders["right"] / "ch01_arithmetic" / "tally.py"
    path.write_text(path.read_text().replace("+= 1", "+= 2"))

    assert {"missing_file"} == resumed(batch, folders, grade_class)
    assert 10.0 == read_result(batch.results / "right.json").score


def test_resume_grades_again_when_a_missing_file_comes(graded, grade_class):
    """What was left out counts as much as what was taken."""
    batch, folders = graded
    (folders["missing_file"] / "ch01_arithmetic" / "tally.py").write_text("")

    assert {"right"} == resumed(batch, folders, grade_class)


@pytest.mark.parametrize(
    "file",
    [
        "assignments/ch01_arithmetic/assignment.toml",
        "assignments/ch01_arithmetic/programs.py",
        "assignments/ch01_arithmetic/test_tally.py",
        "solutions/ch01_arithmetic/test_tally_hidden.py",
    ],
)
def test_resume_grades_all_again_after_the_course_changed(graded, root, grade_class, file):
    """Old results cannot be compared with those of new tests."""
    with (root / file).open("a") as opened:
        opened.write("\n# changed\n")

    assert set() == resumed(*graded, grade_class)


def test_resume_does_not_mind_an_edited_solution(graded, root, grade_class):
    """Solutions and stubs decide no score."""
    for folder in ("assignments", "solutions"):
        (root / folder / "ch01_arithmetic" / "tally.py").write_text("")

    assert {"right", "missing_file"} == resumed(*graded, grade_class)


def test_resume_with_another_seed_grades_all_again(graded, grade_class):
    """Results of one batch come from the same inputs."""
    assert set() == resumed(*graded, grade_class, seed=8)


def test_resume_grades_again_what_was_cut_off(graded, grade_class):
    """Half a file, as no crash of ours can leave but a full disk or a person can, is no result."""
    batch, folders = graded
    path = batch.results / "right.json"
    path.write_bytes(path.read_bytes()[:100])

    assert {"missing_file"} == resumed(batch, folders, grade_class)
    assert 15.0 == read_result(path).score


def test_resume_grades_again_what_a_dead_judge_left(graded, grade_class):
    """A judge's death may have been the machine's fault, so its result is not kept."""
    batch, folders = graded
    path = batch.results / "right.json"
    path.write_text(path.read_text().replace('"judge": "ended"', '"judge": "died"'))

    assert {"missing_file"} == resumed(batch, folders, grade_class)


def test_the_seed_of_a_batch_is_kept_for_those_who_resume_it(graded, tmp_path):
    """Without --seed, --resume goes on with the inputs of the batch."""
    batch, _ = graded

    assert 7 == earlier_seed(batch.out)
    assert earlier_seed(tmp_path / "nothing here") is None
