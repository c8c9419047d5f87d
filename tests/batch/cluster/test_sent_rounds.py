"""Which jobs are over, which items have a job, and which losses are new, by values: no queue, no files, no clock."""

import pytest

from grader.cluster.desk import Loss
from grader.cluster.packing import Item, JobId
from grader.cluster.rounds import commonest_reason
from grader.cluster.sent_rounds import Gathering, NotedLosses, SentRounds
from slurm.executors import JobStatus, Phase

ANN, BEN, CAT = (Item(name, "ch01_arithmetic") for name in ("ann", "ben", "cat"))
FIRST, SECOND, AGAIN = JobId(0, 0), JobId(0, 1), JobId(1, 0)
SETTLE_S = 10.0


def status(phase, state=""):
    """Return what the queue says of a job."""
    return JobStatus(job="7", phase=phase, state=state or phase.upper())


RUNNING, WAITING, ENDED = (status(phase) for phase in (Phase.RUNNING, Phase.WAITING, Phase.ENDED))


@pytest.fixture
def sent():
    """Return one round of two jobs; the first has two items."""
    return SentRounds([[(ANN, BEN), (CAT,)]], settle_s=SETTLE_S)


def busy(sent, statuses, now):
    """Return the busy items after the queue was observed."""
    sent.observe(statuses, now)
    return sent.busy()


def test_a_job_is_named_like_the_files_on_the_desk():
    """The second job of the first round is 0-1."""
    assert "0-1" == str(SECOND)


def test_jobs_are_named_by_round_and_index(sent):
    """A round that is added gets the next number, and its jobs are counted from 0."""
    sent.add([(BEN,)])

    assert 2 == sent.num_rounds
    assert {FIRST: (ANN, BEN), SECOND: (CAT,), AGAIN: (BEN,)} == sent.packs
    assert [FIRST, SECOND, AGAIN] == list(sent.packs)
    assert {ANN, BEN, CAT} == sent.items_of(0)
    assert {BEN} == sent.items_of(1)
    assert set() == sent.items_of(2)


def test_all_items_are_busy_before_the_queue_was_observed(sent):
    """A round that was added counts as under way until the queue is observed again."""
    assert {ANN, BEN, CAT} == sent.busy()
    sent.observe({}, now=0.0)
    sent.observe({}, now=SETTLE_S)
    assert set() == sent.busy()
    sent.add([(CAT,)])
    assert {CAT} == sent.busy()


@pytest.mark.parametrize("alive", [RUNNING, WAITING], ids=["running", "waiting"])
def test_items_of_a_job_that_has_not_ended_are_busy(sent, alive):
    """Its items stay busy, however much time passes."""
    assert {ANN, BEN, CAT} == busy(sent, {FIRST: alive, SECOND: alive}, now=0.0)
    assert {ANN, BEN, CAT} == busy(sent, {FIRST: alive, SECOND: alive}, now=1e6)


@pytest.mark.parametrize("end", [{FIRST: ENDED}, {}], ids=["ended", "forgotten"])
def test_items_of_an_ended_job_are_busy_until_its_files_must_be_visible(sent, end):
    """The time counts from when the end was first seen, also if the queue has forgotten the job."""
    assert {ANN, BEN, CAT} == busy(sent, {**end, SECOND: RUNNING}, now=100.0)
    assert {ANN, BEN, CAT} == busy(sent, {**end, SECOND: RUNNING}, now=109.9)
    assert {CAT} == busy(sent, {**end, SECOND: RUNNING}, now=110.0)


def test_a_requeued_job_is_not_over(sent):
    """A job that runs again after it had ended gets the whole time again when it ends for good."""
    busy(sent, {FIRST: ENDED, SECOND: ENDED}, now=0.0)
    assert {ANN, BEN} == busy(sent, {FIRST: WAITING, SECOND: ENDED}, now=10.0)
    assert {ANN, BEN} == busy(sent, {FIRST: ENDED, SECOND: ENDED}, now=20.0)
    assert {ANN, BEN} == busy(sent, {FIRST: ENDED, SECOND: ENDED}, now=29.0)
    assert set() == busy(sent, {FIRST: ENDED, SECOND: ENDED}, now=30.0)


def test_an_item_that_was_sent_again_is_busy_by_its_second_job(sent):
    """The item is busy while its second job runs, although its first is over."""
    sent.add([(BEN,)])
    busy(sent, {AGAIN: RUNNING}, now=0.0)

    assert {BEN} == busy(sent, {AGAIN: RUNNING}, now=SETTLE_S)


def test_without_time_to_settle_a_job_is_over_as_soon_as_it_ends():
    """On one machine every process sees at once what another wrote."""
    assert set() == busy(SentRounds([[(ANN,)]], settle_s=0.0), {FIRST: ENDED}, now=5.0)


def test_a_loss_is_new_once(sent):
    """An idle item has lost every job that it was in; each of these losses is returned once."""
    losses = NotedLosses([])

    assert [(FIRST, BEN), (SECOND, CAT)] == losses.new(sent.packs, {BEN, CAT})
    assert [(FIRST, ANN)] == losses.new(sent.packs, {ANN, BEN})
    sent.add([(CAT,)])
    assert [(AGAIN, CAT)] == losses.new(sent.packs, {ANN, BEN, CAT})
    assert [] == losses.new(sent.packs, {ANN, BEN, CAT})


def test_a_loss_that_is_on_the_desk_is_not_new(sent):
    """An earlier command has written it down, for that item and that round only."""
    losses = NotedLosses([Loss(item=ANN, round=0, job="7", state="TIMEOUT")])
    sent.add([(ANN,)])

    assert [(FIRST, BEN), (AGAIN, ANN)] == losses.new(sent.packs, {ANN, BEN})


def test_an_item_that_is_not_idle_has_lost_nothing(sent):
    """An item with a verdict, or with a job that may still write one, is no loss."""
    assert [] == NotedLosses([]).new(sent.packs, set())


def test_items_wait_for_each_other_from_the_first_question_on():
    """The wait lasts until a round is sent, and begins again with the first question after that."""
    gathering = Gathering()

    assert [False, False, True] == [gathering.has_lasted(10.0, now) for now in (0.0, 9.9, 10.0)]
    gathering.end()
    assert [False, True] == [gathering.has_lasted(10.0, now) for now in (50.0, 60.0)]


def test_items_that_need_not_wait_are_sent_at_once():
    """A wait of no seconds has lasted when it begins."""
    assert Gathering().has_lasted(0.0, 5.0)


def test_the_commonest_reason_is_that_of_waiting_jobs():
    """Jobs that run or have ended do not count, and without waiting jobs there is no reason."""
    states = ["PENDING (Priority)", "PENDING (Resources)", "PENDING (Resources)"]
    statuses = {JobId(0, index): status(Phase.WAITING, state) for index, state in enumerate(states)}
    others = {JobId(1, index): RUNNING for index in range(5)}

    assert "PENDING (Resources)" == commonest_reason(statuses | others)
    assert "" == commonest_reason(others)
