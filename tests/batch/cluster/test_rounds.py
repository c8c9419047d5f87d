"""What has lost its job is sent again: when, how often, where to, and what a person is told of it."""

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
from slurm.executors import Phase, Status
from tests.batch.places import CASES, CHAPTER, QUICK, Hospital, Place, Queue, graded

pytestmark = pytest.mark.usefixtures("quick")


def test_a_submission_that_was_handed_in_again_is_graded_again(class_):
    """Although there is a verdict on what lay there before, and the command that would have recorded it was killed."""
    submissions, batch = class_
    before = graded(Place(batch.desk), class_)
    shutil.rmtree(batch.results)  # as if no result had been recorded
    better, worse = (next(one for one in submissions if one.name == name) for name in ("right", "missing_file"))
    shutil.rmtree(worse.path)
    shutil.copytree(better.path, worse.path)

    scores = graded(Place(batch.desk), class_, QUICK, resume=True)

    assert before["missing_file"] < scores["missing_file"] == before["right"]


def test_a_verdict_of_a_judge_that_died_does_not_stay(class_, monkeypatch):
    """It may not die again: the next command has the item judged anew."""
    dying = {"right"}

    def grade_or_die(submission, chapter, batch):
        result = grade_chapter(submission, chapter, batch)
        return msgspec.structs.replace(result, judge="died") if submission.name in dying else result

    monkeypatch.setattr(job, "grade_chapter", grade_or_die)
    graded(Place(class_[1].desk), class_)
    dying.clear()

    place = Place(class_[1].desk)
    graded(place, class_, QUICK, resume=True)

    assert [1] == [count for _, count in place.sent]
    assert "ended" == read_result(class_[1].result_path(class_[0][1])).chapters[0].judge


def test_a_node_where_jobs_fail_at_once_is_avoided(class_):
    """It would be free again soon, and be given all of them."""
    place = Hospital(class_[1].desk)

    assert set(CASES) == set(graded(place, class_, QUICK))

    assert [set(), {"sick"}] == place.avoided
    assert {("FAILED", "sick")} == {(loss.state, loss.node) for loss in current_desk(class_[1].desk).losses()}


def test_a_place_of_which_no_node_is_left_is_used_all_the_same(class_):
    """Perhaps it was not the node."""
    place = Hospital(class_[1].desk)
    place.refuses = True

    assert set(CASES) == set(graded(place, class_, QUICK))

    assert [set(), set(), set()] == place.avoided


def test_why_a_job_could_grade_nothing_is_told(class_, monkeypatch):
    """In its own words, beside the place's."""

    def refuse(*_):
        raise LaunchError("The wall 'nested' is not to be had on n1.")

    monkeypatch.setattr(job, "_grade_pack", refuse)
    place = Place(class_[1].desk)

    with pytest.raises(UndecidedError, match="job j0 COMPLETED: The wall 'nested' is not to be had on n1"):
        graded(place, class_, QUICK)


@pytest.fixture
def watched(class_):
    """Return a queue, what is to happen at which look at it, and the scores and what was told in the end."""
    queue, told = Queue(), []

    def play(*acts):
        script = iter(acts)

        def tell(progress):
            told.append(progress)
            for act in script:
                act(queue)
                return

        return graded(queue, class_, QUICK, tell=tell)

    return queue, play, told


def first(queue):
    """Return the name of the first round's jobs."""
    return next(iter(queue.sent))


def test_chances_are_each_items_own(class_, watched, monkeypatch):
    """One that loses its job again and again uses up its own, and not those of an item that waits for its first to end."""
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
    """A round for each of a thousand preempted jobs would be a thousand requests."""
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
    """A busy controller costs nobody the watch over what it has taken."""
    _, play, told = watched
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
    assert any("Socket timed out" in progress.trouble for progress in told)
    assert "Socket timed out" in {loss.reason.partition(" on ")[0] for loss in current_desk(class_[1].desk).losses()}


def test_a_batch_that_is_elsewhere_is_not_taken_over(class_):
    """Its jobs go on there, and here nobody could see them."""
    submissions, batch = class_
    place = Place(batch.desk, vanish=True)
    with pytest.raises(UndecidedError):
        graded(place, class_, QUICK)
    site = Site(name="here", executor=Place(batch.desk), profile=QUICK, max_jobs=8, spread=False)

    with pytest.raises(UsageError, match=r"was sent to there, where its jobs may go on\. Add --on there; or leave out"):
        list(grade_all_on(site, submissions, batch, resume=True, tell=lambda _progress: None))

    assert 2 == len(list(grade_all_on(site, submissions, batch, resume=False, tell=lambda _progress: None)))


def test_a_late_job_of_an_earlier_batch_harms_no_later_one(class_, monkeypatch):
    """It has a desk of its own, which is gone."""
    late = []
    place = Place(class_[1].desk)
    place.run = lambda call: late.append(call) or call()
    graded(place, class_)
    expected = graded(Place(class_[1].desk), class_)
    desk = current_desk(class_[1].desk)
    verdicts = {case: desk.verdict(Item(case, CHAPTER), desk.read_plan().token) for case in CASES}

    monkeypatch.setattr(job, "SHOWN_WITHIN_S", 0.0)
    with pytest.raises(LaunchError, match="shows on"):
        late[0]()

    assert verdicts == {case: desk.verdict(Item(case, CHAPTER), desk.read_plan().token) for case in CASES}
    assert all(verdicts.values())
    assert expected == graded(Place(class_[1].desk), class_, resume=True)


def test_what_waiting_jobs_wait_for_is_told(class_):
    """As the place calls it: a person can do something about some of it."""
    told = []
    place = Place(class_[1].desk)
    answers = itertools.chain([Phase.WAITING], itertools.repeat(Phase.ENDED))

    def statuses(name):
        phase = next(answers)
        return {
            0: Status(job="1", phase=phase, state="PENDING (JobHeldUser)" if phase is Phase.WAITING else "COMPLETED")
        }

    place.statuses = statuses
    place.run = lambda _call: None
    with pytest.raises(UndecidedError):
        graded(place, class_, QUICK, tell=told.append)

    assert "PENDING (JobHeldUser)" in {progress.why for progress in told}
