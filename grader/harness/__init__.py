"""Launching student code on N ranks, and judging what comes back.

What graded tests use stands here; `assert_matches` is imported on first use, because it loads torch and a rank of a chapter
without tensors must not wait for that.
"""

from typing import TYPE_CHECKING, Any

from grader.harness.per_rank import PerRank

if TYPE_CHECKING:
    from grader.harness.equivalence import assert_matches

__all__ = ["PerRank", "assert_matches"]


def __getattr__(name: str) -> Any:
    if name == "assert_matches":
        from grader.harness.equivalence import assert_matches

        return assert_matches
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
