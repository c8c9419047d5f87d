"""What is wrong with a student's file as a whole is told once, however many tests and exercises suffer from it."""

from collections.abc import Iterable, Iterator


class ToldOnce:
    """Remembers which exercise has told what; made anew for each list of exercises that a person reads."""

    def __init__(self) -> None:
        self._told_at: dict[str, str] = {}

    def texts(self, explanations: Iterable[str], exercise: str) -> Iterator[str]:
        """Yield the explanations in their order; only the first line of one that another exercise has told, and where.

        Two explanations with the same first line count as one: what follows is the place, and what the ranks printed.
        """
        own: dict[str, str] = {}
        for text in explanations:
            own.setdefault(text.partition("\n")[0], text)
        for first, text in own.items():
            told_at = self._told_at.setdefault(first, exercise)
            yield text if told_at == exercise else f"{first} (as told at {told_at})"
