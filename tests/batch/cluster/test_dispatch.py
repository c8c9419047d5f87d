"""A batch is dispatched to a place whose folder is slow, whose queue is silent, and whose jobs vanish."""

import errno
import itertools
import os
import shutil
import threading

import pytest

from course_env.errors import ExecutorError, LaunchError, UsageError
from grader.batch.grading import grade_chapter
from grader.batch.intake.find import find_submissions
from grader.cluster import job, rounds
from grader.cluster.desk import Begun, current_desk
from grader.cluster.packing import Item
from grader.cluster.rounds import MAX_SENT, UndecidedError
from slurm.profile import Profile
from tests.batch.places import CASES, CHAPTER, QUICK, Place, graded

pytestmark = pytest.mark.usefixtures("quick")


def begun(class_):
    """Return how often each submission was begun."""
    desk = current_desk(class_[1].desk)
    return {case: desk.times_begun(Item(case, CHAPTER)) for case in CASES}


def test_what_is_seen_late_is_waited_for(class_):
    """A job has ended and its verdict is not there yet: it is not sent again, and nothing is lost."""
    place = Place(class_[1].desk, shown_after=5)

    scores = graded(place, class_)

    assert set(CASES) == set(scores)
    assert 1 == len(place.sent)
    assert [] == current_desk(class_[1].desk).losses()
    assert dict.fromkeys(CASES, 1) == begun(class_)


def test_what_is_seen_too_late_is_sent_again_and_counts_once(class_):
    """The first verdict stays: the second job finds it and grades nothing."""
    expected = graded(Place(class_[1].desk), class_)
    shutil.rmtree(class_[1].out)
    place = Place(class_[1].desk, shown_after=None)

    scores = graded(place, class_)

    assert expected == scores
    assert 2 == len(place.sent)
    assert dict.fromkeys(CASES, 1) == begun(class_)
    assert {"COMPLETED"} == {loss.state for loss in current_desk(class_[1].desk).losses()}


def test_a_queue_that_is_silent_for_a_while_costs_nothing(class_):
    """What jobs leave is read meanwhile, and the trouble is told."""
    told = []
    place = Place(class_[1].desk, silent=3, shown_after=10)

    assert set(CASES) == set(graded(place, class_, tell=lambda progress: told.append(progress.trouble)))

    assert "The controller is away." in told
    assert 1 == len(place.sent)


def test_jobs_that_vanish_are_not_sent_for_ever(class_):
    """After some rounds the items are named with what became of their jobs; the next command tries again."""
    place = Place(class_[1].desk, vanish=True)

    with pytest.raises(UndecidedError) as error:
        graded(place, class_, QUICK)

    assert MAX_SENT == len(place.sent)
    assert "2 of 2 items have no result" in str(error.value)
    assert all(f"{case}/{CHAPTER}: job j" in str(error.value) for case in CASES)
    place.vanish = False
    assert set(CASES) == set(graded(place, class_, resume=True))


def test_a_place_that_takes_no_jobs_says_so(class_, monkeypatch):
    """Nothing is graded, and nothing is lost: the same command may be typed again."""
    place = Place(class_[1].desk)

    def refuse(_name, _calls, **_options):
        raise ExecutorError("invalid partition")

    with monkeypatch.context() as patch:
        patch.setattr(place, "submit", refuse)
        with pytest.raises(ExecutorError, match="invalid partition"):
            graded(place, class_)

    assert set(CASES) == set(graded(place, class_, QUICK, resume=True))


def test_whatever_the_command_cannot_write_costs_only_time(class_, monkeypatch):
    """One write after the other is refused: each time it is told which, and a later command grades what is left, once."""
    submissions, batch = class_
    known = {}

    def grade_once(submission, chapter, batch):
        if submission not in known:
            known[submission] = grade_chapter(submission, chapter, batch)
        return known[submission]

    monkeypatch.setattr(job, "grade_chapter", grade_once)  # this test is about writing
    write = os.fsync
    for number in itertools.count():
        shutil.rmtree(batch.out, ignore_errors=True)
        writes = itertools.count()

        def refuse_one(descriptor, writes=writes, number=number):
            if threading.current_thread() is threading.main_thread() and next(writes) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse_one)
            told = refusal(Place(batch.desk), class_)
        scores = graded(Place(batch.desk), class_, QUICK, resume=True)

        assert set(CASES) == set(scores)
        assert all(batch.result_path(submission).exists() for submission in submissions)
        assert all(times <= 1 for times in begun(class_).values())
        if told is None:
            assert next(writes) <= number
            break
        assert f"{os.strerror(errno.ENOSPC)}: '{batch.out}/" in told
    assert number > 10


def refusal(place, class_):
    """Dispatch the class; return what the command says of what the machine refused."""
    try:
        graded(place, class_, QUICK)
    except (OSError, ExecutorError) as error:
        return str(error)
    return None


def test_open_items_are_named_when_the_command_cannot_write(class_, monkeypatch):
    """With what to do; those whose results are written are not among them."""
    _, batch = class_
    refused = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
    write = rounds.write_files

    def refuse(result, submission, batch):
        if submission.name == "right":
            raise refused
        write(result, submission, batch)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "write_files", refuse)
        with pytest.raises(ExecutorError) as error:
            graded(Place(batch.desk), class_)

    first, item, last = str(error.value).splitlines()
    assert first == f"The machine refused: {refused}. 1 of 2 items are in no result file yet:"
    assert item == f"right/{CHAPTER}"
    assert last.startswith("Jobs go on, and what they have graded is kept. Make room")
    assert last.endswith("then type the same command with --resume.")


def test_a_job_waits_until_it_is_shown_what_the_command_wrote(class_, monkeypatch):
    """It may begin on a node that does not see its plan yet; whoever waits in vain says for what."""
    place = Place(class_[1].desk)
    monkeypatch.setattr(job, "POLL_S", 0.01)

    def run_late(call):
        hidden = current_desk(class_[1].desk).folder / "plan.json"
        shown = hidden.read_bytes()
        hidden.unlink()
        monkeypatch.setattr(job, "SHOWN_WITHIN_S", 0.05)
        with pytest.raises(LaunchError, match=rf"{class_[1].desk}/\w+ shows on .* no batch \w+ with round 0 and a key"):
            call()
        monkeypatch.setattr(job, "SHOWN_WITHIN_S", 60.0)
        timer = threading.Timer(0.2, hidden.write_bytes, [shown])
        timer.start()
        call()
        timer.join()

    monkeypatch.setattr(place, "run", run_late)

    assert set(CASES) == set(graded(place, class_))
    assert 1 == len(place.sent)


def test_each_command_gives_items_their_chances_anew(class_):
    """Whoever types it again has mended what was wrong: even if the one before was killed."""
    _, batch = class_
    place = Place(batch.desk, vanish=True)
    with pytest.raises(UndecidedError):
        graded(place, class_, QUICK)
    desk = current_desk(batch.desk)
    for case, _ in itertools.product(CASES, range(job.MAX_BEGUN)):
        desk.begin(Item(case, CHAPTER), Begun(job="1", node="n0"))
    place.vanish = False

    assert set(CASES) == set(graded(place, class_, resume=True))


def test_what_nodes_do_not_see_is_refused_before_anything_is_sent(class_, tmp_path):
    """The path and the shared folder are named."""
    place = Place(class_[1].desk)

    with pytest.raises(UsageError, match=f"The nodes do not see {class_[1].out}.*{tmp_path / 'scratch'} is shared"):
        graded(place, class_, Profile(folder=str(tmp_path / "scratch")))

    assert [] == place.sent
    assert not class_[1].out.exists()


def test_a_batch_with_other_submissions_is_another(class_, golden, course):
    """With --resume only what is the same is taken over; what is new makes a new batch."""
    graded(Place(class_[1].desk), class_)
    token = current_desk(class_[1].desk).read_plan().token
    more = find_submissions([golden(case) for case in ("half_right", "syntax_error")], course)

    place = Place(class_[1].desk)
    scores = graded(place, ([*class_[0], *more], class_[1]), resume=True)

    assert {*CASES, "half_right", "syntax_error"} == set(scores)
    assert token != current_desk(class_[1].desk).read_plan().token
    assert [2] == [count for _, count in place.sent]
