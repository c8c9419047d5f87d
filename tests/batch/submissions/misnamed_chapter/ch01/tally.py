"""Counting words."""

from collections import Counter


class Tally:
    """How often each word was added."""

    def __init__(self) -> None:
        self._counter: Counter[str] = Counter()

    def add(self, word: str) -> None:
        """Count `word` once more."""
        self._counter[word] += 1

    def merge(self, other: "Tally") -> None:
        """Add all that `other` has counted."""
        self._counter += other._counter

    def counts(self) -> dict[str, int]:
        """Return how often each word was added."""
        return dict(self._counter)

    @property
    def total(self) -> int:
        """How many words were added."""
        return self._counter.total()
