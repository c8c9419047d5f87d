"""Whether student code left alone what it was given: what is told where it did not."""

import pytest
import torch

from grader.harness import PerRank, assert_arguments_kept, assert_unchanged
from grader.harness.mistake import Mistake, named_mistake
from grader.harness.outcome import StudentFailure
from tests.harness.comparing import weights

pytestmark = pytest.mark.usefixtures("seed")


class Noted:
    """A run whose programs noted this."""

    def __init__(self, **noted):
        self.noted = noted

    def observed(self, name):
        """Return what each rank noted under `name`."""
        return self.noted.get(name, [None, None])


def test_what_was_kept_passes():
    """Ranks that wrote to nothing and share nothing, and ranks outside the group, which note nothing, pass."""
    assert_arguments_kept(Noted(written=[[False, False], None], shares_memory=[False, None]), "x", "y")
    assert_unchanged(PerRank([torch.arange(3)] * 2), torch.arange(3), "x")


@pytest.mark.parametrize(
    ("noted", "names", "said", "mistake"),
    [
        (
            {"written": [[False, False], [False, True]]},
            ("x", "y"),
            "Rank 1 wrote to y, which is the caller's.",
            Mistake.WROTE_TO_ARGUMENT,
        ),
        (
            {"written": [[False, True, True], None]},
            ("chunks",),
            "Rank 0 wrote to chunks (number 1, 2 of 3, counted from 0), which is the caller's.",
            Mistake.WROTE_TO_ARGUMENT,
        ),
        (
            {"shares_memory": [False, True]},
            ("x",),
            "The result on rank 1 shares memory with x: whoever changes one changes the other.",
            Mistake.SHARES_MEMORY,
        ),
    ],
    ids=["one of two", "of a list", "shared"],
)
def test_what_was_not_kept_is_told(noted, names, said, mistake):
    """The message names rank and argument, and begins with the kind of mistake."""
    with pytest.raises(AssertionError) as caught:
        assert_arguments_kept(Noted(**noted), *names)
    assert said in str(caught.value)
    assert named_mistake(str(caught.value)) is mistake


def test_a_tensor_that_was_written_to_is_no_wrong_value():
    """A tensor that is another one after the call, by as little as a bit, was written to: that is the kind of mistake."""
    x = weights(3)
    with pytest.raises(
        StudentFailure, match=r"^x was written to, and is the caller's\. Work on a copy\.\nrank 1 of 2:"
    ) as caught:
        assert_unchanged(PerRank([x, x * (1 + 1e-15)]), x, "x")
    assert caught.value.mistake is Mistake.WROTE_TO_ARGUMENT
