"""The sum and the greatest of a list of numbers."""


def total(values: list[int]) -> int:
    """Return the sum of `values`.

    Source: Nicomachus of Gerasa, Introduction to Arithmetic, book II, chapter 6.
    """
    result = 0
    for value in values:
        result += value
    return result


def greatest(values: list[int]) -> int:
    """Return the greatest of `values`, of which there is at least one.

    Source: Knuth 1997, The Art of Computer Programming, volume 1, section 1.2.10, algorithm M.
    """
    result = values[0]
    for value in values[1:]:
        result = max(result, value)
    return result
