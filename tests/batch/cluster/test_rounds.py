"""An item that lost its job is sent again: when, how often, to which nodes, and what a person reads about it."""

import itertools
import shutil

import msgspec
import pytest

from course_env.errors import LaunchError, UsageError
from grader.batch.grading import grade_chapter
from grader.batch.result import read_result
from grader.cluster import job, rounds
from grader.cluster.desk import current_desk
from grader.cluster.dispatch import grade_all_on
from grader.cluster.packing import Item
from grader.cluster.rounds import MAX_SENT, UndecidedError
from grader.cluster.site import Site
from slurm.executors import JobStatus, Phase
from tests.batch.fake_executors import CASES, CHAPTER, QUICK, FakeExecutor, ScriptedExecutor, SickNodeExecutor, graded

pytestmark = pytest.mark.usefixtures("quick")


def test_a_submission_that_was_handed_in_again_is_graded_again(class_):
    """A verdict on the submission as it was before does not count, even if no result was recorded from it."""
    submissions, batch = class_
    before = graded(FakeExecutor(batch.desk), class_)
    shutil.rmtree(batch.results)  # as if no result had been recorded
    better, worse = (
        next(handed_in for handed_in in submissions if handed_in.name == name) for name in ("right", "missing_file")
    )
    shutil.rmtree(worse.path)
    shutil.copytree(better.path, worse.path)

    scores = graded(FakeExecutor(batch.desk), class_, QUICK, resume=True)

    assert before["missing_file"] < scores["missing_file"] == before["right"]


def test_a_verdict_of_a_judge_that_died_does_not_stay(class_, monkeypatch):
    """The next command has the item judged again, because the judge may not die this time."""
    dying = {"right"}

    def grade_or_die(submission, chapter, batch):
        result = grade_chapter(submission, chapter, batch)
        return msgspec.structs.replace(result, judge="died") if submission.name in dying else result

    monkeypatch.setattr(job, "grade_chapter", grade_or_die)
    graded(FakeExecutor(class_[1].desk), class_)
    dying.clear()

    executor = FakeExecutor(class_[1].desk)
    graded(executor, class_, QUICK, resume=True)

    assert [1] == [count for _, count in executor.sent]
    assert "ended" == read_result(class_[1].result_path(class_[0][1])).chapters[0].judge


def test_a_node_where_jobs_fail_at_once_is_avoided(class_):
    """The second round avoids the node, which would otherwise be free soon and be given every job."""
    executor = SickNodeExecutor(class_[1].desk)

    assert set(CASES) == set(graded(executor, class_, QUICK))

    assert [set(), {"sick"}] == executor.avoided
    assert {("FAILED", "sick")} == {(loss.state, loss.node) for loss in current_desk(class_[1].desk).losses()}


def test_a_cluster_with_no_other_node_is_used_all_the_same(class_):
    """If no job can be sent away from the node, jobs are sent anywhere: the node may not have been at fault."""
    executor = SickNodeExecutor(class_[1].desk)
    executor.refuses = True

    assert set(CASES) == set(graded(executor, class_, QUICK))

    assert [set(), set(), set()] == executor.avoided


def test_why_a_job_could_grade_nothing_is_told(class_, monkeypatch):
    """The error holds the job's own words in addition to its state."""

    def refuse(*_):
        raise LaunchError("The wall 'nested' is not available on n1.")

    monkeypatch.setattr(job, "_grade_pack", refuse)
    executor = FakeExecutor(class_[1].desk)

    with pytest.raises(UndecidedError, match="job j0 COMPLETED: The wall 'nested' is not available on n1"):
        graded(executor, class_, QUICK)


@pytest.fixture
def watched(class_):
    """Return an executor, a function that grades the class while a script acts on it, and the progress that was shown.

    The script is one act for each look at the queue.
    """
    queue, shown = ScriptedExecutor(), []

    def play(*acts):
        script = iter(acts)

        def tell(progress):
            shown.append(progress)
            for act in script:
                act(queue)
                return

        return graded(queue, class_, QUICK, tell=tell)

    return queue, play, shown


def first(queue):
    """Return the name of the first round's jobs."""
    return next(iter(queue.sent))


def test_chances_are_each_items_own(class_, watched, monkeypatch):
    """An item that loses its job again and again uses up its own chances, and not those of the other item."""
    queue, play, _ = watched
    monkeypatch.setattr(rounds, "GATHER_S", 0.0)

    def lose_newest(queue):
        newest = next(reversed(queue.sent))
        queue.end(newest, 0, "PREEMPTED")

    def lose_other(queue):
        queue.end(first(queue), 1, "PREEMPTED")

    def finish(queue):
        newest = next(reversed(queue.sent))
        queue.end(newest, 0, "COMPLETED")

    looks = [act for _ in range(MAX_SENT - 1) for act in (lose_newest, nothing, nothing)]
    scores = play(nothing, *looks, finish, nothing, lose_other, nothing, nothing, finish)

    assert set(CASES) == set(scores)
    assert MAX_SENT + 1 == len(queue.sent)


def nothing(_queue):
    """Let things be."""


def test_what_loses_its_job_waits_for_others_to_be_sent_with(class_, watched, monkeypatch):
    """Two items that lose their jobs one after the other are sent in one round: each round is a request to the cluster."""
    queue, play, _ = watched
    monkeypatch.setattr(rounds, "GATHER_S", 60.0)

    def finish(queue):
        for at in range(2):
            queue.end(next(reversed(queue.sent)), at, "COMPLETED")

    scores = play(
        nothing,
        lambda queue: queue.end(first(queue), 0, "PREEMPTED"),
        nothing,
        lambda queue: queue.end(first(queue), 1, "PREEMPTED"),
        nothing,
        nothing,
        finish,
    )

    assert set(CASES) == set(scores)
    assert [2, 2] == [len(calls) for calls in queue.sent.values()]


def test_a_round_that_is_refused_while_jobs_run_is_sent_later(class_, watched, monkeypatch):
    """The command goes on watching the jobs that were taken, shows the refusal, and sends the item again later."""
    _, play, shown = watched
    monkeypatch.setattr(rounds, "GATHER_S", 0.0)

    def lose_one_and_refuse(queue):
        queue.refusing = True
        queue.end(first(queue), 0, "PREEMPTED")

    def accept(queue):
        queue.refusing = False

    def finish(queue):
        queue.end(first(queue), 1, "COMPLETED")
        queue.end(next(reversed(queue.sent)), 0, "COMPLETED")

    scores = play(nothing, lose_one_and_refuse, nothing, accept, nothing, nothing, finish)

    assert set(CASES) == set(scores)
    assert any("Socket timed out" in progress.trouble for progress in shown)
    assert "Socket timed out" in {loss.reason.partition(" on ")[0] for loss in current_desk(class_[1].desk).losses()}


def test_a_batch_that_is_elsewhere_is_not_taken_over(class_):
    """With --resume a batch that was sent elsewhere is refused, because its jobs cannot be seen from here."""
    submissions, batch = class_
    executor = FakeExecutor(batch.desk, vanish=True)
    with pytest.raises(UndecidedError):
        graded(executor, class_, QUICK)
    site = Site(name="here", executor=FakeExecutor(batch.desk), profile=QUICK, max_jobs=8, spread=False)

    with pytest.raises(UsageError, match=r"was sent to there, where its jobs may go on\. Add --on there; or leave out"):
        list(grade_all_on(site, submissions, batch, resume=True, tell=lambda _progress: None))

    assert 2 == len(list(grade_all_on(site, submissions, batch, resume=False, tell=lambda _progress: None)))


def test_a_late_job_of_an_earlier_batch_harms_no_later_one(class_, monkeypatch):
    """A late job finds that its desk is gone, and the later batch keeps its verdicts and results."""
    late = []
    executor = FakeExecutor(class_[1].desk)
    executor.run = lambda call: late.append(call) or call()
    graded(executor, class_)
    expected = graded(FakeExecutor(class_[1].desk), class_)
    desk = current_desk(class_[1].desk)
    verdicts = {case: desk.verdict(Item(case, CHAPTER), desk.read_plan().token) for case in CASES}

    monkeypatch.setattr(job, "SHOWN_WITHIN_S", 0.0)
    with pytest.raises(LaunchError, match="shows on"):
        late[0]()

    assert verdicts == {case: desk.verdict(Item(case, CHAPTER), desk.read_plan().token) for case in CASES}
    assert all(verdicts.values())
    assert expected == graded(FakeExecutor(class_[1].desk), class_, resume=True)


def test_what_waiting_jobs_wait_for_is_told(class_):
    """Progress shows what waiting jobs wait for in the cluster's words: a person may be able to do something about it."""
    shown = []
    executor = FakeExecutor(class_[1].desk)
    answers = itertools.chain([Phase.WAITING], itertools.repeat(Phase.ENDED))

    def statuses(name):
        phase = next(answers)
        return {
            0: JobStatus(job="1", phase=phase, state="PENDING (JobHeldUser)" if phase is Phase.WAITING else "COMPLETED")
        }

    executor.statuses = statuses
    executor.run = lambda _call: None
    with pytest.raises(UndecidedError):
        graded(executor, class_, QUICK, tell=shown.append)

    assert "PENDING (JobHeldUser)" in {progress.why for progress in shown}
