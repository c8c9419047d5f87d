"""With --resume nothing is graded twice, and nothing is kept that grading again would change."""

import pytest

from grader.batch.batch import plan_batch
from grader.batch.result import read_result
from grader.batch.resume import earlier_seed
from grader.harness.protocol.wall import Wall


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
    """If nothing has changed, no submission is graded again."""
    assert {"right", "missing_file"} == resumed(*graded, grade_class)


def test_resume_grades_an_edited_submission_again(graded, grade_class):
    """Only the submission whose file changed is graded again."""
    batch, folders = graded
    path = folders["right"] / "ch01_arithmetic" / "tally.py"
    path.write_text(path.read_text().replace("+= 1", "+= 2"))

    assert {"missing_file"} == resumed(batch, folders, grade_class)
    assert 10.0 == read_result(batch.results / "right.json").score


def test_resume_grades_again_when_a_missing_file_comes(graded, grade_class):
    """A submission is graded again when a file is added to it."""
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
    """If any file that decides a score was edited, every submission is graded again."""
    with (root / file).open("a") as opened:
        opened.write("\n# changed\n")

    assert set() == resumed(*graded, grade_class)


def test_resume_does_not_mind_an_edited_solution(graded, root, grade_class):
    """Solutions and stubs decide no score, so nothing is graded again when they are edited."""
    for folder in ("assignments", "solutions"):
        (root / folder / "ch01_arithmetic" / "tally.py").write_text("")

    assert {"right", "missing_file"} == resumed(*graded, grade_class)


def test_resume_with_another_seed_grades_all_again(graded, grade_class):
    """Every submission is graded again with another seed, so that all get the same inputs."""
    assert set() == resumed(*graded, grade_class, seed=8)


def test_resume_grades_again_what_was_cut_off(graded, grade_class):
    """Half a result file is no result; a full disk or a person can leave one, though no crash of the grader."""
    batch, folders = graded
    path = batch.results / "right.json"
    path.write_bytes(path.read_bytes()[:100])

    assert {"missing_file"} == resumed(batch, folders, grade_class)
    assert 15.0 == read_result(path).score


def test_resume_grades_again_what_a_dead_judge_left(graded, grade_class):
    """The result of a judge that died is not kept, because the machine may have been at fault."""
    batch, folders = graded
    path = batch.results / "right.json"
    path.write_text(path.read_text().replace('"judge": "ended"', '"judge": "died"'))

    assert {"missing_file"} == resumed(batch, folders, grade_class)


def test_the_seed_of_a_batch_is_kept_for_those_who_resume_it(graded, tmp_path):
    """The seed of a batch can be read back, so that --resume without --seed gives the same inputs."""
    batch, _ = graded

    assert 7 == earlier_seed(batch.out)
    assert earlier_seed(tmp_path / "nothing here") is None
