"""How often a number can be halved."""


def halvings(number: int) -> int:
    """Return how often `number` can be halved, each time rounded down, until it is zero.

    Source: Knuth 1997, The Art of Computer Programming, volume 1, section 1.2.4, exercise 31.
    """
    # TODO(halvings): write this part, and delete the line below.
    raise NotImplementedError("TODO(halvings)")
