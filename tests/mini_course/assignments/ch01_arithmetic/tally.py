"""Counting words, on one rank or on several."""


class Tally:
    """How often each word was added.

    Source: Agarwal et al. 2013, Mergeable Summaries, doi:10.1145/2500128, section 1.
    """

    def __init__(self) -> None:
        # TODO(tally): write this part, and delete the line below.
        raise NotImplementedError("TODO(tally)")

    def add(self, word: str) -> None:
        """Count `word` once more."""
        # TODO(tally): write this part, and delete the line below.
        raise NotImplementedError("TODO(tally)")

    def merge(self, other: "Tally") -> None:
        """Add all that `other` has counted, and leave `other` as it is."""
        # TODO(tally): write this part, and delete the line below.
        raise NotImplementedError("TODO(tally)")

    def counts(self) -> dict[str, int]:
        """Return how often each word was added."""
        # TODO(tally): write this part, and delete the line below.
        raise NotImplementedError("TODO(tally)")

    @property
    def total(self) -> int:
        """How many words were added."""
        return sum(self.counts().values())
