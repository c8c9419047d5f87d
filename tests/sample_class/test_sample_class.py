"""The sample class that `make grade` grades earns what it should."""

import json
import subprocess
import sys
from pathlib import Path

from grader.batch.batch import plan_batch
from grader.batch.intake.find import find_submissions
from grader.batch.workers import default_workers, grade_all
from grader.course.catalog import load_course
from grader.harness.protocol.wall import Wall

HERE = Path(__file__).parent


def test_every_submission_earns_what_it_should(tmp_path):
    """The samples earn all, nothing, half, and all but the one exercise that hangs, crashes or sums where a mean is due."""
    command = [sys.executable, str(HERE / "build.py"), str(tmp_path / "class")]
    built = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    course = load_course(HERE.parent.parent)
    batch = plan_batch(course, (course.chapter("ch02"),), seed=2, wall=Wall.NONE, out=tmp_path / "out")
    submissions = find_submissions([Path(folder) for folder in built], course).submissions

    grading = grade_all(
        submissions, batch, workers=default_workers(), resume=False, tell=lambda _submission, _done: None
    )

    earned = {
        graded.submission.name: {
            exercise.exercise: [exercise.score, exercise.outcome.value]
            for exercise in graded.result.chapters[0].exercises
        }
        for graded in grading
    }
    assert json.loads((HERE / "expected.json").read_text()) == earned
