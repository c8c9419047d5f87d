"""Divisors and primes."""

### BEGIN SOLUTION
from itertools import compress

### END SOLUTION


def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor of two whole numbers, of which at most one is 0.

    Raises: ValueError if both are 0.
    Source: Euclid, Elements, book VII, propositions 1
        and 2.
    """
    if a == b == 0:
        raise ValueError("0 and 0 have no greatest common divisor.")
    ### BEGIN SOLUTION
    # The pair (b, a mod b) has the same common divisors as (a, b), and is smaller.
    while b:
        a, b = b, a % b
    return a
    ### END SOLUTION


def primes_below(limit: int) -> list[int]:
    """Return the primes smaller than `limit`, in order.

    Source: Nicomachus of Gerasa, Introduction to Arithmetic, book I, chapter 13.
    """
    ### BEGIN SOLUTION
    if limit < 3:
        return []
    is_left = _sieve(limit)
    return list(compress(range(limit), is_left))
    ### END SOLUTION


def is_prime(number: int) -> bool:
    """Return whether `number` has exactly two divisors."""
    ### BEGIN SOLUTION
    return number in primes_below(number + 1)
    ### END SOLUTION


### BEGIN SOLUTION
def _sieve(limit: int) -> list[bool]:
    is_left = [number >= 2 for number in range(limit)]
    for number in range(2, limit):
        if is_left[number]:
            is_left[number * number :: number] = [False] * len(is_left[number * number :: number])
    return is_left


### END SOLUTION
