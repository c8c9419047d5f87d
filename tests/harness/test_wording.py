"""Ranks, numbers, lists and exit codes are said as a person says them; texts of student code are made harmless."""

import signal
import time

import pytest

from grader.harness.wording import (
    MAX_SHOWN,
    at_line,
    conjugate,
    dtype_name,
    exit_text,
    listed,
    ordinal,
    rank_list,
    shown,
)
from tests.harness.recorded_ranks import site


def test_ranks_and_their_verb_agree_in_number():
    """One rank gives, several give; a verb of two words changes its first."""
    assert (rank_list([3]), rank_list([0, 2])) == ("rank 3", "ranks 0, 2")
    assert (conjugate("give", [3]), conjugate("give", [0, 2])) == ("gives", "give")
    assert (conjugate("reduce by", [3]), conjugate("reduce by", [0, 2])) == ("reduces by", "reduce by")


def test_ordinals_end_as_they_are_spoken():
    """The teens end in "th", whatever their last digit."""
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 111, 122)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "111th",
        "122nd",
    ]


def test_a_long_list_is_cut_and_counted():
    """Four parts are named, of more the rest is counted."""
    assert listed("abcd") == "a, b, c, d"
    assert listed("abcdef") == "a, b, c, d and 2 more"


def test_a_line_that_is_not_known_is_not_mentioned():
    """A phrase with a line ends in it, one without ends before."""
    assert (at_line(site(12)), at_line(None)) == (" at x.py:12", "")


def test_an_exit_code_names_its_signal():
    """Negative codes are signals; a signal without a name has its number."""
    assert exit_text(3) == "exit code 3"
    assert exit_text(-signal.SIGSEGV) == "signal SIGSEGV"
    assert exit_text(-signal.SIGRTMIN - 1) == f"signal {signal.SIGRTMIN + 1}"


def test_a_dtype_is_named_without_its_module():
    """A student reads "float32", from torch's own text of a dtype."""
    assert dtype_name("torch.float32") == "float32"


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
