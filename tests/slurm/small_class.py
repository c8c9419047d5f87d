"""A class of a few submissions to the mini course, to be graded on a cluster."""

import json
import shutil
import sys
import time
from pathlib import Path

import msgspec

from grader.cluster.desk import Begun, Desk, current_desk
from grader.cluster.packing import Item

TESTS = Path(__file__).parent.parent
CASES = ("right", "half_right", "missing_file", "wrong_type")
CHAPTER = "ch01_arithmetic"
PATIENCE_S = 240

# Every job is small, so that there are several, and has a node to itself, so that both nodes have some.
PROFILE = """
cpus_per_task = 1
minutes = 10
worthwhile_minutes = 0.01
settle_s = 1.0
queue_every_s = 0.3
sbatch = { exclusive = true }
"""


class Class:
    """Some submissions to the mini course, and where their results go."""

    def __init__(self, folder):
        ignored = shutil.ignore_patterns("__pycache__", "expected.json")
        self.course = shutil.copytree(TESTS / "mini_course", folder / "course", ignore=ignored)
        self.submissions = [
            shutil.copytree(TESTS / "batch" / "submissions" / case, folder / "submitted" / case, ignore=ignored)
            for case in CASES
        ]
        self.profile = folder / "profile.toml"
        self.profile.write_text(PROFILE)
        self.out = folder / "out"
        self.seen = self.out
        """Where the test sees what the command writes to `out`."""

    def have_judges_run(self, code: str) -> None:
        """Have each judge run `code` when it imports the first test; no chapter changes by that."""
        (self.course / "assignments/__init__.py").write_text(code)

    def command(self, *options, out=None):
        """Return the words of a `grade run` of all submissions."""
        words = ("run", *self.submissions, "--chapters", "ch01", "--seed", 5, "--out", out or self.out, *options)
        return [str(word) for word in words]

    def command_on_slurm(self, *options):
        """Return what to type in the cluster."""
        return [sys.executable, "-m", "grader.cli.grade", *self.command("--on", self.profile, *options)]

    @property
    def desk(self):
        """The folder that the command and its jobs share."""
        return current_desk(self.seen / "jobs") or Desk(self.seen / "jobs" / "none yet")

    def results(self, out=None):
        """Return what the result files say, without times."""
        files = sorted(((out or self.seen) / "results").iterdir())
        return {file.stem: without_times(json.loads(file.read_text())) for file in files}

    def verdicts(self):
        """Return the verdicts by submission, as far as there are some."""
        desk, token = self.desk, self.desk.read_plan().token
        found = {case: desk.verdict(Item(case, CHAPTER), token) for case in CASES}
        return {case: verdict for case, verdict in found.items() if verdict is not None}

    def times_begun(self):
        """Return how often each submission was begun."""
        return {case: len(self.begun(case)) for case in CASES}

    def begun(self, case):
        """Return by which jobs a submission was begun."""
        marks = (self.desk.folder / "items" / case / CHAPTER).glob("begun-*")
        return [msgspec.json.decode(mark.read_bytes(), type=Begun) for mark in marks]

    def rounds(self):
        """Return the packs of every round so far."""
        return self.desk.rounds()

    def losses(self):
        """Return what was lost so far."""
        return self.desk.losses()

    def name_of(self, number):
        """Return the name of a round's jobs."""
        return self.desk.read_plan().jobs_of(number)

    def wait_until(self, condition):
        """Wait for something that jobs do."""
        end = time.monotonic() + PATIENCE_S
        while not (self.desk.read_plan() and condition()):
            assert time.monotonic() < end
            time.sleep(0.05)


def without_times(value):
    """Return JSON without the fields that differ from run to run."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name != "seconds"}
    return [without_times(part) for part in value] if isinstance(value, list) else value
