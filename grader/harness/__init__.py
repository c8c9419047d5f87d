"""Launching student code on N ranks, and judging what comes back.

Graded tests find here what they use. It is imported on first use, because `assert_matches` loads torch, and because ranks,
behind a wall, have only the rank side of this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grader.harness.compare.equivalence import assert_matches
    from grader.harness.marker import exercise
    from grader.harness.per_rank import PerRank

__all__ = ["PerRank", "assert_matches", "exercise"]

_HOMES = {"PerRank": "per_rank", "assert_matches": "compare.equivalence", "exercise": "marker"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
