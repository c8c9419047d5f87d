"""What a test demands of the communication as a whole is told in sentences for the student."""

import pytest

from tests.harness.recorded_ranks import Recorded, log


def test_only_what_is_allowed_may_be_called():
    """A collective where messages are the point fails with its name, its line and its ranks; messages pass."""
    log(Recorded().call("send", peer=1), Recorded().call("recv", peer=0)).assert_only("send", "recv")
    comm = log(
        Recorded(3).call("all_gather_single", line=40, api="all_gather_object"),
        Recorded(3).call("send", peer=2).call("all_gather_single", line=40, api="all_gather_object"),
        Recorded(3).call("recv", peer=1).call("broadcast", line=50),
    )

    with pytest.raises(AssertionError) as caught:
        comm.assert_only("send", "recv")

    assert str(caught.value) == (
        "Ranks 0, 1 called all_gather_object at x.py:40. "
        "The exercise is to build the result from send and recv: nothing else may communicate."
    )
    comm.assert_only("all_gather", "broadcast", "send", "recv")


def test_a_wait_that_was_forgotten_fails():
    """An operation whose end its rank never learned is named with its line and its ranks."""
    comm = log(
        Recorded().issue("send", peer=1, line=12, api="isend").call("recv", peer=1),
        Recorded().issue("send", peer=0, line=12, api="isend").call("recv", peer=0),
    )

    with pytest.raises(AssertionError) as caught:
        comm.assert_waited_for()

    assert str(caught.value) == (
        "Ranks 0, 1 called isend at x.py:12 and never waited for it. "
        "That it was complete in time was luck: call wait() on the handle that it returned."
    )


@pytest.mark.parametrize(
    "program",
    [
        lambda r: r.issue("send", peer=1).wait().done(),
        lambda r: r.issue("send", peer=1).done(),
        lambda r: r.issue("all_reduce").take_future(),
        lambda r: r.call("send", peer=1),
    ],
    ids=["wait", "is_completed", "future", "blocking"],
)
def test_every_way_to_wait_counts(program):
    """An operation is waited for by wait(), by asking until it is complete, through its future, or in the call itself."""
    log(program(Recorded())).assert_waited_for()
