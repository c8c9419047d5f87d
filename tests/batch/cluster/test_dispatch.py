"""A batch is graded in jobs although the folder is slow, the queue is silent, and jobs vanish."""

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
from tests.batch.fake_executors import CASES, CHAPTER, QUICK, FakeExecutor, graded

pytestmark = pytest.mark.usefixtures("quick")


def begun(class_):
    """Return how often each submission was begun."""
    desk = current_desk(class_[1].desk)
    return {case: desk.times_begun(Item(case, CHAPTER)) for case in CASES}


def test_what_is_seen_late_is_waited_for(class_):
    """An item whose job has ended is not sent again while its verdict may still become visible."""
    executor = FakeExecutor(class_[1].desk, shown_after=5)

    scores = graded(executor, class_)

    assert set(CASES) == set(scores)
    assert 1 == len(executor.sent)
    assert [] == current_desk(class_[1].desk).losses()
    assert dict.fromkeys(CASES, 1) == begun(class_)


def test_what_is_seen_too_late_is_sent_again_and_counts_once(class_):
    """A job for an item that has a verdict by then grades nothing, so the item is begun once."""
    expected = graded(FakeExecutor(class_[1].desk), class_)
    shutil.rmtree(class_[1].out)
    executor = FakeExecutor(class_[1].desk, shown_after=None)

    scores = graded(executor, class_)

    assert expected == scores
    assert 2 == len(executor.sent)
    assert dict.fromkeys(CASES, 1) == begun(class_)
    assert {"COMPLETED"} == {loss.state for loss in current_desk(class_[1].desk).losses()}


def test_a_queue_that_is_silent_for_a_while_costs_nothing(class_):
    """While the queue does not answer, verdicts are still read, and the trouble is shown."""
    troubles = []
    executor = FakeExecutor(class_[1].desk, silent=3, shown_after=10)

    assert set(CASES) == set(graded(executor, class_, tell=lambda progress: troubles.append(progress.trouble)))

    assert "The controller is away." in troubles
    assert 1 == len(executor.sent)


def test_jobs_that_vanish_are_not_sent_for_ever(class_):
    """After MAX_SENT rounds the error names each item with what became of its jobs; the next command tries again."""
    executor = FakeExecutor(class_[1].desk, vanish=True)

    with pytest.raises(UndecidedError) as error:
        graded(executor, class_, QUICK)

    assert MAX_SENT == len(executor.sent)
    assert "2 of 2 items have no result" in str(error.value)
    assert all(f"{case}/{CHAPTER}: job j" in str(error.value) for case in CASES)
    executor.vanish = False
    assert set(CASES) == set(graded(executor, class_, resume=True))


def test_a_cluster_that_takes_no_jobs_says_so(class_, monkeypatch):
    """The cluster's own words reach the person, and the same command with --resume then grades everything."""
    executor = FakeExecutor(class_[1].desk)

    def refuse(_name, _calls, **_options):
        raise ExecutorError("invalid partition")

    with monkeypatch.context() as patch:
        patch.setattr(executor, "submit", refuse)
        with pytest.raises(ExecutorError, match="invalid partition"):
            graded(executor, class_)

    assert set(CASES) == set(graded(executor, class_, QUICK, resume=True))


def test_whatever_the_command_cannot_write_costs_only_time(class_, monkeypatch):
    """Whichever write is refused, the error names it, and a later command grades what is left, once."""
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
            message = refusal(FakeExecutor(batch.desk), class_)
        scores = graded(FakeExecutor(batch.desk), class_, QUICK, resume=True)

        assert set(CASES) == set(scores)
        assert all(batch.result_path(submission).exists() for submission in submissions)
        assert all(times <= 1 for times in begun(class_).values())
        if message is None:
            assert next(writes) <= number
            break
        assert f"{os.strerror(errno.ENOSPC)}: '{batch.out}/" in message
    assert number > 10


def refusal(executor, class_):
    """Grade the class in jobs; return the error message, or None if there was no error."""
    try:
        graded(executor, class_, QUICK)
    except (OSError, ExecutorError) as error:
        return str(error)
    return None


def test_open_items_are_named_when_the_command_cannot_write(class_, monkeypatch):
    """The error names the items without a result file, and only those, and says what to do."""
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
            graded(FakeExecutor(batch.desk), class_)

    first, item, last = str(error.value).splitlines()
    assert first == f"The machine refused: {refused}. 1 of 2 items are not in a result file yet:"
    assert item == f"right/{CHAPTER}"
    assert last.startswith("Jobs go on, and what they have graded is kept. Make room")
    assert last.endswith("then type the same command with --resume.")


def test_a_job_waits_until_it_is_shown_what_the_command_wrote(class_, monkeypatch):
    """A job that begins before its node sees the plan waits for it; if it waits in vain, it says for what."""
    executor = FakeExecutor(class_[1].desk)
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

    monkeypatch.setattr(executor, "run", run_late)

    assert set(CASES) == set(graded(executor, class_))
    assert 1 == len(executor.sent)


def test_each_command_gives_items_their_chances_anew(class_):
    """Items that had used up their chances, by rounds or by beginnings, are graded when the command is typed again."""
    _, batch = class_
    executor = FakeExecutor(batch.desk, vanish=True)
    with pytest.raises(UndecidedError):
        graded(executor, class_, QUICK)
    desk = current_desk(batch.desk)
    for case, _ in itertools.product(CASES, range(job.MAX_BEGUN)):
        desk.begin(Item(case, CHAPTER), Begun(job="1", node="n0"))
    executor.vanish = False

    assert set(CASES) == set(graded(executor, class_, resume=True))


def test_what_nodes_do_not_see_is_refused_before_anything_is_sent(class_, tmp_path):
    """The error names the path and the shared folder, and nothing is sent or written."""
    executor = FakeExecutor(class_[1].desk)

    with pytest.raises(UsageError, match=f"The nodes do not see {class_[1].out}.*{tmp_path / 'scratch'} is shared"):
        graded(executor, class_, Profile(folder=str(tmp_path / "scratch")))

    assert [] == executor.sent
    assert not class_[1].out.exists()


def test_a_batch_with_other_submissions_is_another(class_, golden, course):
    """With --resume and more submissions a new batch is planned, and only the new ones are sent."""
    graded(FakeExecutor(class_[1].desk), class_)
    token = current_desk(class_[1].desk).read_plan().token
    more = find_submissions([golden(case) for case in ("half_right", "syntax_error")], course).submissions

    executor = FakeExecutor(class_[1].desk)
    scores = graded(executor, ([*class_[0], *more], class_[1]), resume=True)

    assert {*CASES, "half_right", "syntax_error"} == set(scores)
    assert token != current_desk(class_[1].desk).read_plan().token
    assert [2] == [count for _, count in executor.sent]


def test_a_batch_that_an_earlier_version_planned_is_planned_anew(class_):
    """With --resume and a plan whose fields have other names, all is graded in a new batch, on a new desk."""
    _, batch = class_
    with pytest.raises(UndecidedError):
        graded(FakeExecutor(batch.desk, vanish=True), class_, QUICK)
    path = current_desk(batch.desk).folder / "plan.json"
    path.write_bytes(path.read_bytes().replace(b'"sent_to"', b'"place"').replace(b'"judges_per_job"', b'"judges"'))

    executor = FakeExecutor(batch.desk)
    scores = graded(executor, class_, resume=True)

    assert set(CASES) == set(scores)
    assert 1 == len(executor.sent)
    assert not path.exists()
