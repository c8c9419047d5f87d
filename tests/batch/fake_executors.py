"""Executors for tests: what becomes of the jobs that a batch sends there is as the test wants it."""

import contextlib

from course_env.errors import ExecutorError, LaunchError
from grader.cluster.desk import current_desk
from grader.cluster.dispatch import grade_all_on
from grader.cluster.site import Site
from slurm.executors import JobStatus, Phase
from slurm.profile import Profile

CASES = ("right", "missing_file")
CHAPTER = "ch01_arithmetic"
QUICK = Profile(worthwhile_minutes=0.001, settle_s=0.0)


def graded(executor, class_, profile=None, *, resume=False, tell=lambda _progress: None):
    """Grade the class in jobs of an executor; return scores by submission."""
    submissions, batch = class_
    profile = profile or Profile(worthwhile_minutes=0.001, settle_s=0.3)
    site = Site(name="there", executor=executor, profile=profile, max_jobs=8, spread=False)
    results = grade_all_on(site, submissions, batch, resume=resume, tell=tell)
    return {graded.submission.name: graded.result.score for graded in results}


class FakeExecutor:
    """An executor whose jobs have ended as soon as they are sent, and whose folder shows late what they wrote.

    desks: the folder of the batch's desks
    shown_after: how often the queue is asked before verdicts are visible; None: not before more jobs are sent
    silent: how often the queue does not answer
    vanish: whether jobs end without having done anything
    """

    outlives_us = True

    def __init__(self, desks, *, shown_after=0, silent=0, vanish=False):
        self.desks = desks
        self.shown_after = shown_after
        self.silent = silent
        self.vanish = vanish
        self.sent = []
        self._asked = 0
        self._hidden = {}

    def submit(self, name, calls, **_options):
        """Run the jobs, and hide what they wrote."""
        self.sent.append((name, len(calls)))
        self._show()
        if self.vanish:
            return
        for call in calls:
            with contextlib.suppress(OSError, LaunchError):  # an error ends the job, not the command that sent it
                self.run(call)
        if self.shown_after != 0 and len(self.sent) == 1:
            for verdict in current_desk(self.desks).folder.glob("items/*/*/verdict"):
                self._hidden[verdict] = verdict.read_bytes()
                verdict.unlink()

    def run(self, call):
        """Run a job."""
        call()

    def statuses(self, name):
        """Say that all have ended."""
        self._asked += 1
        if self._asked <= self.silent:
            raise ExecutorError("The controller is away.")
        if self.shown_after is not None and self._asked >= self.shown_after:
            self._show()
        num_jobs = dict(self.sent).get(name, 0)
        return {index: JobStatus(job=f"j{index}", phase=Phase.ENDED, state="COMPLETED") for index in range(num_jobs)}

    def _show(self):
        for path, content in self._hidden.items():
            if not path.exists():
                path.write_bytes(content)
        self._hidden = {}

    def cancel(self, name):
        """Nothing runs."""

    def close(self):
        """Nothing runs."""


class SickNodeExecutor(FakeExecutor):
    """An executor that gives every job to a node where it fails at once, until it is told to avoid that node."""

    def __init__(self, desks):
        super().__init__(desks)
        self.avoided = []
        self.refuses = False

    def submit(self, name, calls, *, avoid=(), **options):
        """Send jobs to the sick node, unless it is to be avoided."""
        if self.refuses and avoid:
            raise ExecutorError("Requested node configuration is not available")
        self.avoided.append(set(avoid))
        self.vanish = "sick" not in avoid and len(self.sent) < 2
        super().submit(name, calls)

    def statuses(self, name):
        """Say where jobs failed."""
        known = super().statuses(name)
        names = [sent for sent, _ in self.sent]
        if names.index(name) < 2 and "sick" not in self.avoided[names.index(name)]:
            known = {at: JobStatus(job=f"j{at}", phase=Phase.ENDED, state="FAILED", node="sick") for at in known}
        return known


class ScriptedExecutor:
    """An executor whose jobs run when the test wants, or are lost."""

    outlives_us = True

    def __init__(self):
        self.sent = {}
        self.state = {}
        self.refusing = False

    def submit(self, name, calls, **_options):
        """Keep the jobs, or refuse them."""
        if self.refusing:
            raise ExecutorError("Socket timed out on send/recv operation")
        self.sent[name] = list(calls)
        self.state[name] = ["RUNNING"] * len(self.sent[name])

    def statuses(self, name):
        """Say that jobs run, or ended as the test wanted."""
        return {
            at: JobStatus(job=f"{name}_{at}", phase=Phase.RUNNING if state == "RUNNING" else Phase.ENDED, state=state)
            for at, state in enumerate(self.state.get(name, []))
        }

    def end(self, name, at, state):
        """Have a job end: COMPLETED does its work."""
        if state == "COMPLETED":
            self.sent[name][at]()
        self.state[name][at] = state

    def cancel(self, name):
        """Nothing runs."""

    def close(self):
        """Nothing runs."""
