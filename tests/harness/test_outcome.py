"""Texts that student code wrote, on their way to a terminal, a report or a page; and what a failure says of its kind."""

import time

import pytest

from grader.harness.mistake import Mistake, named_mistake
from grader.harness.outcome import MAX_SHOWN, Outcome, StudentFailure, shown

HOSTILE = {
    "an ANSI colour": "\x1b[31mred",
    "a clipboard write": "\x1b]52;c;ZXZpbA==\x07",
    "an 8-bit control sequence": "\x9b2J",
    "a carriage return over what stands there": "failed\rpassed",
    "backspaces": "failed\b\b\b\b\b\bpassed",
    "a right-to-left override": "\u202egnissap\u202c",
    "isolates": "\u2066\u2067\u2068\u2069",
    "a zero-width space": "a\u200bb",
    "a soft hyphen": "a\u00adb",
    "a byte order mark": "\ufeff",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "a lone surrogate": "\udcff\ud800",
    "tags": "\U000e0041\U000e007f",
    "a null": "a\0b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_is_no_plain_text_is_shown_as_its_escape(text):
    """No character is left that steers a terminal, turns the reading direction, breaks a line or cannot be written."""
    said = shown(text)

    assert all(char.isprintable() for char in said)
    assert "\\" in said
    assert said == said.encode("utf-8").decode()


def test_plain_text_of_any_language_is_left_alone():
    """Letters, combined ones too, lines and tabs stay as they are."""
    text = "def f():\n\treturn 'naïve Größe, 平均, متوسط, e\u0301'"

    assert text == shown(text)


@pytest.mark.parametrize("text", ["x" * 10_000_000, "\n" * 1_000_000, "\U000e0001" * 1_000_000, "\x1b" * MAX_SHOWN])
def test_a_text_of_any_length_is_short_when_shown(text):
    """Megabytes on one line, or a million lines, cost next to nothing; escapes count as long as they are."""
    start = time.process_time()

    said = shown(text)

    assert len(said) <= MAX_SHOWN
    assert said.endswith(f"\n... cut here: {len(text)} characters in all")
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize("text", [*HOSTILE.values(), "x" * MAX_SHOWN, "x" * (MAX_SHOWN + 1), "\x1b" * 100_000])
def test_what_was_shown_once_stays_as_it_is(text):
    """A text may pass several borders; the second one neither escapes nor cuts it again."""
    assert shown(text) == shown(shown(text))


def test_every_kind_of_mistake_is_a_short_phrase_of_plain_words():
    """A kind has no room for data: no digits, no quotes, no code, and no two kinds say the same."""
    assert len(Mistake) == len(Mistake.__members__)
    for mistake in Mistake:
        assert len(mistake) <= 60
        assert set(mistake) <= set("abcdefghijklmnopqrstuvwxyz -,'()./")


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
