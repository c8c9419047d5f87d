"""The marker of graded tests is pytest's, with a signature of its own."""

import pytest

from grader.harness import exercise


def test_the_marker_carries_exercise_and_aspect():
    """The judge finds the name as the only argument, and the aspect by its keyword."""
    mark = exercise("ring_shift", aspect="property").mark

    assert (mark.name, mark.args, mark.kwargs) == ("exercise", ("ring_shift",), {"aspect": "property"})


def test_a_marker_without_an_aspect_is_refused_at_once():
    """The mistake shows where it was made."""
    with pytest.raises(TypeError):
        exercise("ring_shift")
