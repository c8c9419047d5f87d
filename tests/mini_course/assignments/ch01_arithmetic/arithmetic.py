"""Divisors and primes."""


def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor of two whole numbers, of which at most one is 0.

    Raises: ValueError if both are 0.
    Source: Euclid, Elements, book VII, propositions 1
        and 2.
    """
    if a == b == 0:
        raise ValueError("0 and 0 have no greatest common divisor.")
    # TODO(gcd): write this part, and delete the line below.
    raise NotImplementedError("TODO(gcd)")


def primes_below(limit: int) -> list[int]:
    """Return the primes smaller than `limit`, in order.

    Source: Nicomachus of Gerasa, Introduction to Arithmetic, book I, chapter 13.
    """
    # TODO(sieve): write this part, and delete the line below.
    raise NotImplementedError("TODO(sieve)")


def is_prime(number: int) -> bool:
    """Return whether `number` has exactly two divisors."""
    # TODO(sieve): write this part, and delete the line below.
    raise NotImplementedError("TODO(sieve)")
