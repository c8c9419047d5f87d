"""Counting words, on one rank or on several."""


class Tally:
    """How often each word was added.

    Source: Agarwal et al. 2013, Mergeable Summaries, doi:10.1145/2500128, section 1.
    """

    def __init__(self) -> None:
        ### BEGIN SOLUTION
        self._count_of: dict[str, int] = {}
        ### END SOLUTION

    def add(self, word: str) -> None:
        """Count `word` once more."""
        ### BEGIN SOLUTION
        self._add_many(word, 1)
        ### END SOLUTION

    def merge(self, other: "Tally") -> None:
        """Add all that `other` has counted, and leave `other` as it is."""
        ### BEGIN SOLUTION
        for word, count in other.counts().items():
            self._add_many(word, count)
        ### END SOLUTION

    def counts(self) -> dict[str, int]:
        """Return how often each word was added."""
        ### BEGIN SOLUTION
        return dict(self._count_of)
        ### END SOLUTION

    @property
    def total(self) -> int:
        """How many words were added."""
        return sum(self.counts().values())

    ### BEGIN SOLUTION
    def _add_many(self, word: str, count: int) -> None:
        self._count_of[word] = self._count_of.get(word, 0) + count

    ### END SOLUTION
