"""The marker of a graded test: which exercise it grades, and which side of it."""

import pytest


def exercise(name: str, *, aspect: str) -> pytest.MarkDecorator:
    """Mark a test as part of grading exercise `name` of its chapter: `@exercise("ring_shift", aspect="property")`.

    aspect: "equivalence", "property" or "robustness". Both must be plain strings: the course is checked by reading them.
    """
    return pytest.mark.exercise(name, aspect=aspect)
