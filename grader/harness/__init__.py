"""Launching student code on N ranks, and judging what comes back.

Graded tests find here what they use. It is imported on first use, because `assert_matches` loads torch, and because ranks,
behind a wall, have only the rank side of this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from grader.harness.compare.arguments import assert_arguments_kept
    from grader.harness.compare.calls import assert_each_raises, assert_each_returns, assert_returns
    from grader.harness.compare.equivalence import assert_matches
    from grader.harness.per_rank import PerRank

__all__ = [
    "PerRank",
    "assert_arguments_kept",
    "assert_each_raises",
    "assert_each_returns",
    "assert_matches",
    "assert_returns",
    "exercise",
]

_HOMES = {
    "PerRank": "per_rank",
    "assert_arguments_kept": "compare.arguments",
    "assert_each_raises": "compare.calls",
    "assert_each_returns": "compare.calls",
    "assert_matches": "compare.equivalence",
    "assert_returns": "compare.calls",
}


def exercise(name: str, *, aspect: str) -> "pytest.MarkDecorator":
    """Mark a test as part of grading exercise `name` of its chapter: `@exercise("ring_shift", aspect="property")`.

    aspect: "equivalence", "property" or "robustness". Both must be plain strings: the course is checked by reading them.
    """
    import pytest  # where ranks run it need not be there

    return pytest.mark.exercise(name, aspect=aspect)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
