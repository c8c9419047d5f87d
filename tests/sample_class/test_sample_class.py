"""The sample class earns, behind every wall that grades submissions, what it should.

`make grade` grades the whole class behind the strongest wall, and compares. Here two samples say as much of each wall in a third
of the time: all that is right, and the class's three mistakes together.
"""

import json
from pathlib import Path

import pytest

from grader.batch.batch import plan_batch
from grader.batch.intake.find import find_submissions
from grader.batch.workers import default_workers, grade_all
from grader.course.catalog import load_course
from grader.harness.protocol.wall import Wall
from grader.harness.trials import walls
from tests.sample_class.build import CHAPTER, build, build_all_mistakes
from tests.sample_class.compare import differences

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.mark.parametrize("wall", [Wall.NESTED, Wall.FLAT, Wall.LANDLOCK])
def test_every_exercise_earns_what_it_should_behind_every_wall(tmp_path, wall):
    """A right submission earns all, and one that hangs, crashes and sums where a mean is due loses these three exercises."""
    if (reason := walls.problem(wall)) is not None:
        pytest.skip(f"This machine has no wall '{wall}': {reason}")
    samples = {folder.name: folder for folder in build(tmp_path / "class")}
    chosen = [samples["perfect"], build_all_mistakes(tmp_path / "class")]
    course = load_course(HERE.parent.parent)
    batch = plan_batch(course, (course.chapter(CHAPTER),), seed=2, wall=wall, out=tmp_path / "out")

    grading = grade_all(
        find_submissions(chosen, course).submissions,
        batch,
        workers=default_workers(),
        resume=False,
        tell=lambda *_: None,
    )

    grading = list(grading)
    earned = {
        graded.submission.name: {
            exercise.exercise: [exercise.score, exercise.outcome.value]
            for exercise in graded.result.chapters[0].exercises
        }
        for graded in grading
    }
    assert {"perfect": EXPECTED["perfect"], "all_mistakes": all_mistakes()} == earned, "\n".join(
        f"{exercise.exercise}: {exercise.explanation} {exercise.hidden_explanation}"
        for graded in grading
        for exercise in graded.result.chapters[0].exercises
        if exercise.explanation or exercise.hidden_explanation
    )


def all_mistakes() -> dict[str, list[object]]:
    """Return what each exercise of the sample with all mistakes earns: the least that a sample with one mistake does."""
    one_mistake = [EXPECTED[patch.stem] for patch in HERE.glob("*.patch")]
    return {exercise: min(sample[exercise] for sample in one_mistake) for exercise in EXPECTED["perfect"]}


def test_the_comparison_names_every_difference(tmp_path):
    """A sample without a result and an exercise with other points are each named, so that `make grade` can fail."""
    (tmp_path / "results").mkdir()
    for sample, exercises in EXPECTED.items():
        found = [{"exercise": name, "score": score, "outcome": end} for name, (score, end) in exercises.items()]
        if sample == "perfect":
            found[0] |= {"score": 14.4, "outcome": "failed"}
        if sample != "half":
            result = {"chapters": [{"exercises": found}]}
            (tmp_path / "results" / f"{sample}.json").write_text(json.dumps(result))

    perfect, half = tmp_path / "results/perfect.json", tmp_path / "results/half.json"
    assert list(differences(tmp_path)) == [
        f"perfect, launch: [14.4, 'failed'] instead of [18.0, 'passed']. Its explanation is in {perfect}.",
        f"half has no result: {half} is missing.",
    ]
