"""A failure has a kind of mistake, which a student may be told even of a hidden test."""

import pytest

from grader.harness.mistake import Mistake, named_mistake
from grader.harness.outcome import Outcome, StudentFailure


def test_every_kind_of_mistake_is_a_short_phrase_of_plain_words():
    """A kind has no room for data: no digits, no quotes, no code, and no two kinds say the same."""
    assert len(Mistake) == len(Mistake.__members__)
    for mistake in Mistake:
        assert len(mistake) <= 60
        assert set(mistake) <= set("abcdefghijklmnopqrstuvwxyz -,'()./")


def test_an_outcome_is_words_to_a_person():
    """Its name is for machines, its words have no underscores."""
    assert [outcome.words for outcome in (Outcome.PASSED, Outcome.NOT_ATTEMPTED)] == ["passed", "not attempted"]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_ATTEMPTED, Outcome.TIMED_OUT, Outcome.CRASHED])
def test_every_failure_has_a_kind(outcome):
    """Whoever raises one without naming its kind still tells the outcome's own."""
    assert StudentFailure("", outcome=outcome).mistake in Mistake


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("more communication than needed", Mistake.MORE_COMMUNICATION),
        ("more communication than needed\nassert 5 <= 3", Mistake.MORE_COMMUNICATION),
        ("assert 5 <= 3", None),
        ("there is more communication than needed", None),
        ("MORE_COMMUNICATION", None),
        ("", None),
    ],
)
def test_an_assertion_can_name_its_kind(message, kind):
    """The whole first line of its message must be one of the phrases; anything else names none."""
    assert kind is named_mistake(message)
